import { setImmediate } from 'node:timers'
import type { NextFunction, Request, Response } from 'express'
import type { Aat } from '../http/aat.ts'
import { clientAddress } from '../http/client-address.ts'
import { shareShape } from '../http/message-shape.ts'
import { wellKnownUrl } from '../protocol/resource-uri.ts'
import { keepMade, madeBy, type Verified } from '../tokens/verified.ts'
import type { Auth } from './auth.ts'
import { authOf } from './auth-of.ts'
import { type Challenge, type Offer, refuseForNow, sendChallenge } from './challenge.ts'
import { readCredential } from './credential.ts'
import { type RequireAatOptions, readGuardOptions } from './guard-options.ts'
import { judgeOf, refusalsOf } from './refusals.ts'
import type { RemoteIssuer } from './remote-issuer.ts'
import { addressesUnder, isRightlyPresented, problemOfSender } from './sender.ts'
import { pickSource, sourcesOf } from './sources.ts'
import type { TokenSource } from './token-source.ts'

/** A middleware that leaves the types of the route's own parameters alone. */
export type AatGuard = <P>(req: Request<P>, res: Response, next: NextFunction) => void

interface Passed {
  readonly source: TokenSource
  readonly verified: Verified
}

/**
 * What a guard before let through, where that used something up: a proof or a use is for the request, however many guards it
 * meets.
 */
const passed = new WeakMap<object, Passed>()

/**
 * Guards a route with an access token: `app.get('/api/orders', requireAat(aat, { scope: 'orders:read' }), handler)`. Tokens are
 * taken from the `Authorization` header only (`Bearer`, or `DPoP` with a proof), verified without asking anybody, and refused at once
 * when revoked. A token that is bound to a key or certificate is good with that alone.
 * What it found is on `req.auth`; `getAat(req)` is the typed way to it.
 *
 * Refusals: 401 without `error` where there is no token, 401 `invalid_token`, 403 `insufficient_scope`, 401
 * `insufficient_user_authentication`, `invalid_dpop_proof` or `use_dpop_nonce`, each with `resource_metadata` (RFC 6750 §3, RFC 9728 §5.1, RFC 9470 §3); 503 where keys
 * cannot be had, never 401.
 * @param issuer whose tokens are good here; of several, each token is for the one that its `iss` names
 * @throws ConfigurationError while the app starts, for wrong options
 */
export function requireAat<Claims = unknown>(
  issuer: Aat | RemoteIssuer | readonly (Aat | RemoteIssuer)[],
  options: RequireAatOptions<Claims> = {},
): AatGuard {
  const sources = sourcesOf(issuer)
  const settings = readGuardOptions(sources, options)
  const { resource, readClaims, whenRevocationStale, needsProof } = settings
  const isDpopAlone = sources.every(needsProof)
  const pick = pickSource(sources)
  const refusals = refusalsOf(settings, wellKnownUrl(resource, 'oauth-protected-resource'))
  const shortcomingOf = judgeOf(settings, refusals)
  const addressesOf = addressesUnder(resource)
  /** Guards of one resource share what they make of a token; what an app's `readClaims` makes is this guard's own. */
  const by = readClaims === undefined ? resource : {}

  /** What to hand on, or what to answer. */
  function judge(
    verified: Verified | undefined,
    source: TokenSource,
    isDpop: boolean,
    req: Request,
  ): Auth<Claims> | Challenge {
    if (verified === undefined || verified.audience !== source.audienceOf(resource) || verified.isRevoked())
      return refusals.invalidToken
    if ((isDpop || verified.isBound) && !isRightlyPresented(verified, isDpop, source.senders, req))
      return refusals.invalidToken
    const shortcoming = shortcomingOf(verified, source)
    if (shortcoming !== undefined) return shortcoming
    const made = madeBy(verified, by)
    if (made !== undefined) return made as Auth<Claims>
    const auth = authOf(verified, resource, readClaims)
    if (auth !== undefined) keepMade(verified, by, auth)
    return auth ?? refusals.invalidToken
  }

  /** Last of all, so that what is refused for something else is no use of a token whose uses are limited. */
  function count(
    verified: Verified | undefined,
    result: Auth<Claims> | Challenge,
    source: TokenSource,
    req: Request,
  ): Auth<Claims> | Challenge | Promise<Auth<Claims> | Challenge> {
    if (verified === undefined || 'status' in result) return result
    return (
      source.countUse(verified)?.then((outcome) => {
        if (outcome !== 'used') return refusals.invalidToken
        passed.set(req, { source, verified })
        return result
      }) ?? result
    )
  }

  function answer(
    result: Auth<Claims> | Challenge,
    offer: Offer,
    req: object,
    res: Response,
    next: NextFunction,
  ): void {
    if ('status' in result) sendChallenge(res, result, offer)
    else {
      ;(req as { auth?: unknown }).auth = result
      next()
    }
  }

  /** After something had to be waited for. */
  function answerLate(
    result: Auth<Claims> | Challenge,
    offer: Offer,
    req: object,
    res: Response,
    next: NextFunction,
  ): void {
    // Something before the guard gave up waiting (a time-out, say): there is nobody to answer.
    if (res.writableEnded || ('status' in result && res.headersSent)) return
    try {
      answer(result, offer, req, res, next)
    } catch (error) {
      next(error)
    }
  }

  /** What `judge` does where something has to be waited for: a signature, a key, the revocation log, a proof. */
  async function judgeLater(
    found: Verified | undefined | Promise<Verified | undefined>,
    source: TokenSource,
    isDpop: boolean,
    req: Request,
    hasPassed: boolean,
  ): Promise<Auth<Claims> | Challenge> {
    const verified = await found
    if (verified !== undefined && !source.isFresh()) await source.becomeFresh(whenRevocationStale)
    const result = judge(verified, source, isDpop, req)
    if (verified === undefined || 'status' in result || hasPassed) return result
    if (isDpop) {
      const addresses = addressesOf(req.originalUrl)
      const problem = await problemOfSender(verified, req, addresses, source.clock(), source.senders)
      if (problem !== undefined) return refusals[problem]
    }
    const counted = await count(verified, result, source, req)
    if (!('status' in counted)) passed.set(req, { source, verified })
    return counted
  }

  return function aatGuard(request, res, next) {
    const req = request as Request
    shareShape(req, res)
    const presented = readCredential(req)
    const { isDpop } = presented
    const offer = isDpop || isDpopAlone ? 'DPoP' : 'Bearer, DPoP'
    if ('problem' in presented) return answer(refusals[presented.problem], offer, req, res, next)
    const source = pick(presented.token)
    if (source === undefined || (!isDpop && needsProof(source)))
      return answer(refusals.invalidToken, offer, req, res, next)
    if (isDpop && source.senders.nonces !== undefined)
      res.setHeader('DPoP-Nonce', source.senders.nonces.current(source.clock()))

    // Nothing on the way of a token that is known makes a promise.
    let result: Auth<Claims> | Challenge | Promise<Auth<Claims> | Challenge>
    let fresh: Verified | undefined
    try {
      const before = passed.get(req)
      const hasPassed = before?.source === source && before.verified.token === presented.token
      const found = hasPassed
        ? before.verified
        : source.verify(presented.token, () => clientAddress(req as Request))
      if (found instanceof Promise || isDpop || !source.isFresh())
        result = judgeLater(found, source, isDpop, req, hasPassed)
      else {
        // No guard has made anything of it: it was verified just now.
        if (found !== undefined && found.by === undefined) fresh = found
        const judged = judge(found, source, isDpop, req)
        result = hasPassed ? judged : count(found, judged, source, req)
      }
    } catch (error) {
      return refuseForNow(res, source.onFault(error))
    }
    if (result instanceof Promise)
      result
        .then(
          (late) => answerLate(late, offer, req, res, next),
          (error: unknown) => {
            const reference = source.onFault(error)
            if (!res.headersSent) refuseForNow(res, reference)
          },
        )
        .catch(next)
    else if (fresh === undefined) answer(result, offer, req, res, next)
    else {
      // Requests of one turn of the event loop go on together once all of their signatures are checked, as their answers cost less one
      // after another. Meanwhile a token may have been revoked.
      const [verified, judged] = [fresh, result]
      setImmediate(() =>
        answerLate(verified.isRevoked() ? refusals.invalidToken : judged, offer, req, res, next),
      )
    }
  }
}
