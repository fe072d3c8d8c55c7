import { type TokenKey, tokenKey } from '../protocol/digest.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import { type ClaimRules, readClaims } from '../tokens/access-token.ts'
import { MAX_TOKEN } from '../tokens/compact-jws.ts'
import { isOpaqueForm } from '../tokens/opaque-access-token.ts'
import { createRecent } from '../tokens/recent.ts'
import { createSuspects } from '../tokens/suspects.ts'
import { type CacheLimits, createTokenCache, type Remembered } from '../tokens/token-cache.ts'
import { createTurns, Overcrowded, type Rush } from '../tokens/turns.ts'
import { neverRevoked, type Verified, verifiedOf } from '../tokens/verified.ts'
import type { IntrospectionSettings } from './introspection-options.ts'
import type { IntrospectionAnswer } from './introspection-question.ts'
import type { TokenSource } from './token-source.ts'

export interface RemoteIntrospectionParts {
  readonly settings: IntrospectionSettings
  readonly rules: Omit<ClaimRules, 'now'>
  /** Verifies what is a JWT. */
  readonly verifyJwt: TokenSource['verify']
  readonly ask: (token: string) => Promise<IntrospectionAnswer>
  readonly clock: Clock
  readonly limits: CacheLimits
}

interface Found {
  readonly verified: Verified | undefined
  /** Whoever waits for the answer may take it: each who asks about a token whose uses are limited uses it. */
  readonly isForAll: boolean
}

interface Answered extends Remembered {
  readonly verified: Verified
  readonly askedAt: NumericDate
  /** The answer is believed until then without asking again. */
  readonly believedUntil: NumericDate
}

/** A clock that jumped back prolongs nothing. */
const isWithin = (now: NumericDate, from: NumericDate, until: NumericDate) => from <= now && now < until

/** Questions on their way at once, and how many more may wait for that; over that, 503. */
const AT_ONCE = 32
const WAITING = 224
/** Seconds between questions for suspects, all of them together: the issuer counts what it says no to. */
const SUSPECTS_TURN = 1
/** Tokens that are remembered as not active: in a memory of their own, so that they drive out no good one. */
const RECENT = 8192
/** Tokens that were good once of which is remembered what the issuer said last, beyond what is believed of them. */
const ONCE_GOOD = 16_384
/** Seconds for which no is believed at least: of a token that was good once or is signed, which hardly ever comes back, and of others. */
const OVER_FOR = 60
const NO_FOR = 5

/**
 * Asks an issuer elsewhere about tokens (RFC 7662), once for each token and `cache` seconds, however many requests wait for the
 * answer. What the issuer cannot be asked is thrown: 503, never 401.
 */
export function createRemoteIntrospection(parts: RemoteIntrospectionParts) {
  const { settings, rules, verifyJwt, ask, clock, limits } = parts
  const { cache, staleWhileError } = settings
  const answers = createTokenCache<Answered>(limits)
  const inactive = createRecent<TokenKey, Pick<Answered, 'askedAt' | 'believedUntil'>>(RECENT)
  /** Of those that were good once, what the issuer said last. */
  const onceGood = createRecent<TokenKey, boolean>(ONCE_GOOD)
  const suspects = createSuspects()
  let suspectsTurnAt = Number.NEGATIVE_INFINITY
  let rush: Rush | undefined
  const inTurn = createTurns(AT_ONCE, WAITING)
  const underWay = new Map<TokenKey, Promise<Found>>()

  /**
   * Junk can look like an opaque token, and only the issuer can tell. Who comes with more and more of it waits for a turn among
   * his kind, so that the issuer does not stop answering for everybody else's. @throws Overcrowded
   */
  function takeTurn(address: string): void {
    if (!suspects.has(address)) return
    const now = clock()
    if (Math.abs(now - suspectsTurnAt) < SUSPECTS_TURN) {
      rush ??= {}
      throw new Overcrowded('an address presents token after token that is none', rush)
    }
    suspectsTurnAt = now
    rush = undefined
  }

  /** An opaque token as the issuer tells it; judged like what a JWT says itself. */
  function believe(token: string, answer: Record<string, unknown>): Verified | undefined {
    const { active, token_type, uses_limited, ...claims } = answer
    const payload = Buffer.from(JSON.stringify(claims))
    const read = readClaims(payload, { ...rules, now: clock() })
    if ('problem' in read) return undefined
    // An issuer that does not say what it is bound to: nobody could prove that (RFC 9449 §6.2).
    const isDpop = String(token_type).toLowerCase() === 'dpop'
    if (isDpop && read.claims.cnf?.jkt === undefined) return undefined
    return verifiedOf(token, read.claims, read.claims.exp + rules.tolerance, neverRevoked, payload.length)
  }

  function remember(id: TokenKey, verified: Verified, askedAt: NumericDate): void {
    const believedUntil = Math.min(askedAt + cache, verified.goodUntil)
    const goodUntil = Math.min(believedUntil + staleWhileError, verified.goodUntil)
    answers.add(
      id,
      { verified, askedAt, believedUntil, goodUntil, holder: verified.holder, bytes: verified.bytes },
      askedAt,
    )
  }

  async function find(
    id: TokenKey,
    token: string,
    known: Answered | undefined,
    from: () => string,
  ): Promise<Found> {
    const isOpaque = isOpaqueForm(token)
    const signed = isOpaque ? undefined : await verifyJwt(token, from)
    if (signed === undefined && !isOpaque) return { verified: undefined, isForAll: true }
    const address = isOpaque ? from() : ''
    const before = onceGood.get(id)
    const askedAt = clock()
    let answer: IntrospectionAnswer
    try {
      answer = await inTurn(() => {
        // Once it is his turn: what came of those who came with him counts.
        if (isOpaque && before !== true) takeTurn(address)
        return ask(token)
      })
      // Of another token: what lies between mixed the answers up.
      if (signed !== undefined && answer.jti !== undefined && answer.jti !== signed.claims.jti)
        throw new Error('the issuer answered about another token')
    } catch (error) {
      if (known !== undefined && isWithin(clock(), known.askedAt, known.goodUntil))
        return { verified: known.verified, isForAll: true }
      throw error
    }
    // That a good one is over by now is held against nobody; who goes on with it afterwards comes with junk.
    if (isOpaque && (answer.active || before !== true)) suspects.judge(address, answer.active)
    if (isOpaque && (answer.active || before !== undefined)) onceGood.set(id, answer.active)
    const isLimited = answer.uses_limited === true
    const verified = answer.active ? (signed ?? believe(token, answer)) : undefined
    if (verified === undefined) {
      answers.drop(id)
      const isOver = !answer.active && (signed !== undefined || before !== undefined)
      inactive.set(id, { askedAt, believedUntil: askedAt + Math.max(cache, isOver ? OVER_FOR : NO_FOR) })
    } else if (!isLimited) remember(id, verified, askedAt)
    return { verified, isForAll: verified === undefined || !isLimited }
  }

  function isInactive(id: TokenKey): boolean {
    const no = inactive.get(id)
    return no !== undefined && isWithin(clock(), no.askedAt, no.believedUntil)
  }

  /** Who came while another's question was under way. */
  async function share(flight: Promise<Found>, id: TokenKey, token: string, from: () => string) {
    const { verified, isForAll } = await flight
    if (isForAll) return verified
    return isInactive(id) ? undefined : (await find(id, token, undefined, from)).verified
  }

  return {
    /** @returns at once where the answer is known; `undefined` for a token that is not good, whatever the reason */
    verify(token: string, from: () => string): Verified | undefined | Promise<Verified | undefined> {
      if (token.length > MAX_TOKEN) return undefined
      if (settings.tokens === 'opaque' && !isOpaqueForm(token)) return verifyJwt(token, from)
      const id = tokenKey(token)
      const now = clock()
      const known = answers.find(id, now)
      if (known !== undefined && isWithin(now, known.askedAt, known.believedUntil)) return known.verified
      if (isInactive(id)) return undefined
      const flight = underWay.get(id)
      if (flight !== undefined) return share(flight, id, token, from)
      const found = find(id, token, known, from).finally(() => underWay.delete(id))
      underWay.set(id, found)
      return found.then(({ verified }) => verified)
    },
  }
}
