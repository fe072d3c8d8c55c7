import { isWithheld, limitsOf } from '../family-limits.ts'
import type { CodeOutcome, CodeRecord, EndReason, FamilyView, GrantStore, RefreshOutcome } from '../ports.ts'
import { familyLists } from './family-lists.ts'
import {
  clientIdBytes,
  hashBytes,
  readFamilyRecord,
  readGrant,
  toMilliseconds,
  writeGrant,
} from './family-record.ts'
import { isGrantId, type Keys } from './keys.ts'
import {
  boundToArgument,
  hashesArgument,
  obtainableArgument,
  resourceArgument,
  scopeArgument,
  sessionArguments,
} from './request-arguments.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const issueCode = script('issue-code')
const readCode = script('read-code')
const redeemCode = script('redeem-code')
const refresh = script('refresh')
const endGrant = script('end-grant')
const readFamily = script('read-family')

/** How long a code is remembered after its end, so that a second use is seen as one. In ms. */
const CODE_MEMORY = 600_000

const reasonCodes: Record<EndReason, number> = { revoked: 1, reused: 2, code_reused: 3 }

/** Codes and families in Redis: each verb one script, on the slot of its family. */
export function redisGrants({ run }: Runner, keys: Keys): GrantStore {
  const lists = familyLists(run, keys)
  const milliseconds = (seconds: number | undefined) => (seconds === undefined ? '' : toMilliseconds(seconds))

  async function readRecord(grantId: string): Promise<FamilyView | undefined> {
    if (!isGrantId(grantId)) return undefined
    const { now, rest } = await run(readFamily, [keys.family(grantId)])
    const record = rest[0] === undefined ? undefined : readFamilyRecord(grantId, rest[0])
    return record === undefined || record.isOver(Math.max(now, record.view.lastUsedAt))
      ? undefined
      : record.view
  }

  return {
    async issueCode(code: CodeRecord) {
      const { grant, refreshLifetime } = code
      if (!isGrantId(grant.id)) throw new TypeError('a grant has an id of 16 bytes, base64url')
      // Before there can be a family, so that no list lacks one; and at once, so that it is still one wait. For as long as
      // there may be none: a user could have any number of codes, and redeem none of them.
      await Promise.all([
        run(
          issueCode,
          [keys.code(grant.id)],
          [
            code.codeHash,
            code.redirectUri,
            code.redirectUriRequired ? '1' : '',
            code.codeChallenge,
            toMilliseconds(code.expiresAt),
            writeGrant(grant),
            CODE_MEMORY,
            code.dpopJkt ?? '',
          ],
        ),
        ...(refreshLifetime === undefined ? [] : [lists.enterCode(code, refreshLifetime)]),
      ])
    },

    async readCode(grantId) {
      if (!isGrantId(grantId)) return undefined
      const { outcome, rest } = await run(readCode, [keys.code(grantId)])
      if (outcome !== 'found') return undefined
      const [
        hash = '',
        redirectUri = '',
        required,
        challenge = '',
        expires,
        grant = Buffer.alloc(0),
        jkt = '',
      ] = rest
      return {
        grant: readGrant(grantId, grant),
        codeHash: String(hash) as CodeRecord['codeHash'],
        redirectUri: String(redirectUri),
        redirectUriRequired: String(required) === '1',
        codeChallenge: String(challenge),
        ...(jkt.length > 0 && { dpopJkt: String(jkt) }),
        expiresAt: Number(expires) / 1000,
      }
    },

    async redeemCode(redemption): Promise<CodeOutcome> {
      const { grantId, family, redirectUri, policy } = redemption
      if (!isGrantId(grantId)) return { outcome: 'unknown' }
      const session = sessionArguments(policy, redemption.idpSessionEnd)
      const { outcome, rest } = await run(
        redeemCode,
        [keys.code(grantId), keys.family(grantId)],
        [
          redemption.codeHash,
          redemption.nonce,
          clientIdBytes(redemption.clientId),
          redirectUri === undefined ? '' : `+${redirectUri}`,
          redemption.challenge,
          scopeArgument(redemption.scope),
          resourceArgument(redemption.resource),
          obtainableArgument(redemption.obtainable),
          family === undefined ? '' : hashBytes(family.token.hash),
          family === undefined ? '' : hashBytes(family.lineage),
          family?.token.keyId ?? '',
          toMilliseconds(policy.lifetime),
          milliseconds(policy.absoluteLifetime),
          session.bounds,
          session.keptFor,
          session.end,
          redemption.dpopJkt ?? '',
          family?.boundTo === undefined ? '' : hashBytes(family.boundTo),
        ],
        { durable: true },
      )
      if (outcome === 'unknown') return { outcome }
      const [grantBytes = Buffer.alloc(0), redeemedAt] = rest
      const grant = readGrant(grantId, grantBytes)
      if (outcome !== 'redeemed')
        return { outcome: outcome as Exclude<CodeOutcome['outcome'], 'redeemed' | 'unknown'>, grant }
      const openedAt = Number(redeemedAt) / 1000
      if (family === undefined || isWithheld(grant, policy)) return { outcome, grant, limits: undefined }
      lists.enter(grant, policy).catch(() => undefined)
      return {
        outcome,
        grant,
        limits: limitsOf({ grant, openedAt, periodStart: openedAt }, policy, openedAt),
      }
    },

    async refresh(request): Promise<RefreshOutcome> {
      const { grantId, policy } = request
      if (!isGrantId(grantId)) return { outcome: 'unknown' }
      const session = sessionArguments(policy, request.idpSessionEnd)
      const { outcome, now, rest } = await run(
        refresh,
        [keys.family(grantId)],
        [
          clientIdBytes(request.clientId),
          request.generation,
          hashesArgument(request),
          request.next.keyId,
          policy.issuance,
          toMilliseconds(policy.lifetime),
          milliseconds(policy.absoluteLifetime),
          toMilliseconds(request.grace),
          scopeArgument(request.scope),
          resourceArgument(request.resource),
          obtainableArgument(request.obtainable),
          session.bounds,
          session.keptFor,
          session.end,
          boundToArgument(request.boundTo),
        ],
      )
      const [bytes, forwarded, toEnter] = rest
      if (outcome === 'unknown' || bytes === undefined) return { outcome: 'unknown' }
      const { view, keyId } = readFamilyRecord(grantId, bytes)
      const { grant } = view
      if (outcome !== 'rotated' && outcome !== 'kept' && outcome !== 'retried')
        return {
          outcome: outcome as Exclude<RefreshOutcome['outcome'], 'unknown' | 'rotated' | 'kept' | 'retried'>,
          grant,
        }
      const familyNow = Math.max(now, view.lastUsedAt)
      // One more lifetime old with this use, or of a longer one: its entries in lists end after two.
      if (String(toEnter) === '1') lists.enter(grant, policy).catch(() => undefined)
      return {
        outcome,
        grant,
        generation: view.generation,
        keyId,
        limits: limitsOf(view, policy, familyNow),
        fastForwarded: String(forwarded) === '1',
      }
    },

    async end(grantId, reason) {
      if (!isGrantId(grantId)) return { outcome: 'unknown' }
      const { now, rest } = await run(
        endGrant,
        [keys.code(grantId), keys.family(grantId)],
        [reasonCodes[reason]],
        { durable: true },
      )
      const [family, code] = rest
      if (family === undefined || code === undefined) return { outcome: 'unknown' }
      const record = family.length > 0 ? readFamilyRecord(grantId, family) : undefined
      const living = record?.isOver(now) === true ? undefined : record
      if (living === undefined && code.length === 0) return { outcome: 'unknown' }
      const grant = living?.view.grant ?? readGrant(grantId, code)
      lists.leave(grant).catch(() => undefined)
      return { outcome: 'ended', grant }
    },

    readFamily: readRecord,

    listFamilies: (query) => lists.read(query, readRecord),
  }
}
