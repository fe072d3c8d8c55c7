import { limitsOf } from '../family-limits.ts'
import { isOwnedBy, readPage, writeCursor } from '../family-pages.ts'
import type {
  CodeOutcome,
  CodeRecord,
  EndReason,
  FamilyOwner,
  FamilyView,
  Grant,
  GrantStore,
  RefreshOutcome,
} from '../ports.ts'
import { hashBytes, readFamilyRecord, readGrant, toMilliseconds, writeGrant } from './family-record.ts'
import { isGrantId, type Keys } from './keys.ts'
import { nonceArgument, obtainableArgument, resourceArgument, scopeArgument } from './request-arguments.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const issueCode = script('issue-code')
const readCode = script('read-code')
const redeemCode = script('redeem-code')
const refresh = script('refresh')
const endGrant = script('end-grant')
const readFamily = script('read-family')
const indexFamily = script('index-family')
const unindexFamily = script('unindex-family')
const listFamilies = script('list-families')

/** How long a code is remembered after its end, so that a second use is seen as one. In ms. */
const CODE_MEMORY = 600_000
/** How long lists have a grant after its code, in ms: should the entry of its family be lost, its owner still sees it for a day. */
const CODE_LIST = 86_400_000
/** Families that are read at once for a list, and the most entries that one page looks at. */
const BATCH = 100
const MAX_LOOKED_AT = 5000

const reasonCodes: Record<EndReason, number> = { revoked: 1, reused: 2, code_reused: 3 }

/** Codes and families in Redis: each verb one script, on the slot of its family. */
export function redisGrants({ run }: Runner, keys: Keys): GrantStore {
  const milliseconds = (seconds: number | undefined) => (seconds === undefined ? '' : toMilliseconds(seconds))

  /** Lists are hints for people, of which a few may be late or lost. */
  function ownersOf({ subject, clientId, idpSession }: Grant): FamilyOwner[] {
    return [{ subject }, { clientId }, ...(idpSession === undefined ? [] : [{ idpSession }])]
  }

  /** Twice its life: a family that is prolonged is entered again when it has been alive for one more. */
  const familyStays = (lifetime: number) => 2 * Math.max(toMilliseconds(lifetime), 60_000)

  async function index(grant: Grant, stays: number): Promise<void> {
    await Promise.all(ownersOf(grant).map((owner) => run(indexFamily, [keys.list(owner)], [grant.id, stays])))
  }

  async function unindex(grant: Grant): Promise<void> {
    await Promise.all(ownersOf(grant).map((owner) => run(unindexFamily, [keys.list(owner)], [grant.id])))
  }

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
      const staysAsCode = CODE_LIST + Math.max(toMilliseconds(code.expiresAt - grant.createdAt), 0)
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
          ],
        ),
        ...(refreshLifetime === undefined
          ? []
          : [index(grant, Math.min(staysAsCode, familyStays(refreshLifetime)))]),
      ])
    },

    async readCode(grantId) {
      if (!isGrantId(grantId)) return undefined
      const { outcome, rest } = await run(readCode, [keys.code(grantId)])
      if (outcome !== 'found') return undefined
      const [hash = '', redirectUri = '', required, challenge = '', expires, grant = Buffer.alloc(0)] = rest
      return {
        grant: readGrant(grantId, grant),
        codeHash: String(hash) as CodeRecord['codeHash'],
        redirectUri: String(redirectUri),
        redirectUriRequired: String(required) === '1',
        codeChallenge: String(challenge),
        expiresAt: Number(expires) / 1000,
      }
    },

    async redeemCode(redemption): Promise<CodeOutcome> {
      const { grantId, family, redirectUri } = redemption
      if (!isGrantId(grantId)) return { outcome: 'unknown' }
      const { outcome, rest } = await run(
        redeemCode,
        [keys.code(grantId), keys.family(grantId)],
        [
          redemption.codeHash,
          redemption.nonce,
          redemption.clientId,
          redirectUri === undefined ? '' : `+${redirectUri}`,
          redemption.challenge,
          scopeArgument(redemption.scope),
          resourceArgument(redemption.resource),
          obtainableArgument(redemption.obtainable),
          family === undefined ? '' : hashBytes(family.token.hash),
          family === undefined ? '' : hashBytes(family.lineage),
          family?.token.keyId ?? '',
          milliseconds(family?.policy.lifetime),
          milliseconds(family?.policy.absoluteLifetime),
        ],
        { durable: true },
      )
      if (outcome === 'unknown') return { outcome }
      const [grantBytes = Buffer.alloc(0), redeemedAt] = rest
      const grant = readGrant(grantId, grantBytes)
      if (outcome !== 'redeemed')
        return { outcome: outcome as Exclude<CodeOutcome['outcome'], 'redeemed' | 'unknown'>, grant }
      const openedAt = Number(redeemedAt) / 1000
      if (family !== undefined) index(grant, familyStays(family.policy.lifetime)).catch(() => undefined)
      const limits = family && limitsOf({ openedAt, periodStart: openedAt }, family.policy, openedAt)
      return { outcome, grant, limits }
    },

    async refresh(request): Promise<RefreshOutcome> {
      const { grantId, policy } = request
      if (!isGrantId(grantId)) return { outcome: 'unknown' }
      const { outcome, now, rest } = await run(
        refresh,
        [keys.family(grantId)],
        [
          request.clientId,
          request.generation,
          Buffer.concat([
            hashBytes(request.tokenHash),
            hashBytes(request.lineage),
            hashBytes(request.next.hash),
            nonceArgument(request.nonce),
          ]),
          request.next.keyId,
          policy.issuance,
          toMilliseconds(policy.lifetime),
          milliseconds(policy.absoluteLifetime),
          toMilliseconds(request.grace),
          scopeArgument(request.scope),
          resourceArgument(request.resource),
          obtainableArgument(request.obtainable),
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
      if (String(toEnter) === '1') index(grant, familyStays(policy.lifetime)).catch(() => undefined)
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
      unindex(grant).catch(() => undefined)
      return { outcome: 'ended', grant }
    },

    readFamily: readRecord,

    async listFamilies(query) {
      const { owner, size, after } = readPage(query)
      const list = keys.list(owner)
      const families: FamilyView[] = []
      let [end, id] = after === undefined ? ['', ''] : [String(after.at), after.grantId]
      for (let lookedAt = 0; lookedAt < MAX_LOOKED_AT; ) {
        const wanted = Math.min(size - families.length, BATCH)
        const { rest } = await run(listFamilies, [list], [end, id, wanted])
        const ids = rest.filter((_, position) => position % 2 === 0).map(String)
        for (const view of await Promise.all(ids.map(readRecord)))
          if (view !== undefined && view.ended === undefined && isOwnedBy(view.grant, owner))
            families.push(view)
        if (ids.length < wanted) return { families, cursor: undefined }
        lookedAt += ids.length
        ;[id, end] = [ids.at(-1) ?? '', String(rest.at(-1))]
        if (families.length >= size && (await isLast(list, end, id))) return { families, cursor: undefined }
        if (families.length >= size) break
      }
      return { families, cursor: writeCursor({ at: Number(end), grantId: id }) }
    },
  }

  async function isLast(list: string, end: string, id: string): Promise<boolean> {
    const { rest } = await run(listFamilies, [list], [end, id, 1])
    return rest.length === 0
  }
}
