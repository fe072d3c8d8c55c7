import type { RequestHandler, Response } from 'express'
import { tokenTypeOf } from '../grants/grant-type.ts'
import { type Aat, type AatParts, partsOf } from '../http/aat.ts'
import { limitFailures } from '../http/failure-limit.ts'
import { sendText, setNoStore } from '../http/headers.ts'
import type { RateLimitOptions } from '../http/rate-limit.ts'
import { tokenHash } from '../protocol/digest.ts'
import { warnOfConfiguration } from '../protocol/events.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { isOver, limitsOf } from '../stores/family-limits.ts'
import type { Client, RevocationEntry } from '../stores/ports.ts'
import type { AatClaims } from '../tokens/access-token.ts'
import { INTROSPECTION_JWT, signIntrospection } from '../tokens/introspection-response.ts'
import { isOpaqueForm } from '../tokens/opaque-access-token.ts'
import { clientEndpoint, readRateLimit } from './client-endpoint.ts'
import { readOwnAccessToken } from './read-token.ts'

export interface IntrospectionEndpointOptions {
  /**
   * Inactive answers to one caller, and failed authentications from one address (default 600 in 60 seconds). A caller with
   * `introspects` is told no a hundred times as often, and of what was never a token, or is a bad JWT, any number of times: what
   * it asks about is what strangers present to it.
   */
  rateLimit?: RateLimitOptions | false
}

const inactive = { active: false }
/** The same bytes, of what is found to be no good token of ours without the store: not by its tag, or as a JWT. */
const noToken = { active: false }

/** Inactive answers to the server of a resource, for one to another client. */
const TO_SERVERS = 100

/** What an opaque token tells its client when that asks: what it was told with the token, and nothing of what is hidden in it. */
function whatClientsKnow({ iss, aud, client_id, iat, exp, jti, scope, cnf }: Readonly<AatClaims>) {
  return { iss, aud, client_id, iat, exp, jti, scope, ...(cnf !== undefined && { cnf }) }
}

/**
 * Tells the app, not the caller, why a good token reads as inactive: once for each configured client and resource. Whoever
 * registered cannot have `introspects`, and must not be able to fill logs.
 */
function warnOfMissingIntrospects({ resources, emit }: AatParts) {
  const warned = new Set<string>()
  return (caller: Client, audience: string, res: Response) => {
    if (caller.origin !== 'configuration') return
    const resource = [...resources.all.values()].find((one) => one.audience === audience)?.identifier
    const key = JSON.stringify([caller.id, resource])
    if (resource === undefined || warned.has(key)) return
    // Once the answer is out: what listeners take must not tell the caller that the token is a good one.
    res.once('close', () => {
      if (warned.has(key)) return
      warned.add(key)
      warnOfConfiguration(
        emit,
        `client ${JSON.stringify(caller.id)} asked about a token for ${resource} and was told that it is inactive: if it serves that resource, add ${JSON.stringify(resource)} to the client's introspects`,
      )
    })
  }
}

/**
 * The introspection endpoint (RFC 7662), for confidential clients. A caller learns of a token that is for a resource it
 * serves (`introspects` in its configuration) or that was issued to itself; of anything else just `{"active":false}`, byte
 * for byte the same whatever the reason. Introspecting changes nothing, but for a token whose uses
 * are limited: that the server of its resource asks is a use of it. A caller that accepts
 * `application/token-introspection+jwt` gets the answer as a JWT that is signed for it alone (RFC 9701).
 */
export function introspectionEndpoint(aat: Aat, options: IntrospectionEndpointOptions = {}): RequestHandler {
  const parts = partsOf(aat, 'introspectionEndpoint')
  const rateLimit = readRateLimit('introspection', options)
  const ofServers = rateLimit && { ...rateLimit, limit: rateLimit.limit * TO_SERVERS }
  const failuresOfServers = limitFailures('introspection by servers', ofServers, parts)

  const warn = warnOfMissingIntrospects(parts)

  function audiencesOf(client: Client): Set<string | undefined> {
    return new Set(client.introspects?.map((identifier) => parts.resources.all.get(identifier)?.audience))
  }

  async function introspect(token: string, caller: Client, res: Response): Promise<Record<string, unknown>> {
    const refreshToken = parts.refreshTokens.read(token)
    if (refreshToken !== undefined) {
      await parts.revocations.fresh()
      const family = await parts.stores.grants.readFamily(refreshToken.grantId)
      if (
        family === undefined ||
        family.grant.clientId !== caller.id ||
        family.ended !== undefined ||
        family.tokenHash !== refreshToken.hash
      )
        return inactive
      const policy = parts.refreshPolicyOf(caller)
      const { grant } = family
      const current = { ...family, grant: parts.idpSessions.currentGrant(grant) }
      const limits = limitsOf(current, policy, parts.clock())
      if (isOver(limits) || parts.revocations.coversGrant(grant, policy)) return inactive
      return {
        active: true,
        iss: parts.issuer,
        sub: grant.subject,
        client_id: grant.clientId,
        scope: grant.scope.join(' '),
        // A token that is kept was issued when the family opened.
        iat: Math.floor(policy.issuance === 'keep' ? family.openedAt : family.lastUsedAt),
        exp: Math.floor(limits.expiresAt),
        grant_id: grant.id,
      }
    }
    // Of those that it was shown: an address tells nothing of who presented them there.
    const claims = await readOwnAccessToken(token, parts, `client:${caller.id}`)
    if (claims === undefined) return parts.verifier.opaque.read(token) === undefined ? noToken : inactive
    // Guards allow for clocks that differ; whoever issued the token knows when it is over (RFC 7662 section 4).
    if (parts.clock() >= claims.exp) return inactive
    const isItsServer = audiencesOf(caller).has(claims.aud)
    if (claims.client_id !== caller.id && !isItsServer) {
      warn(caller, claims.aud, res)
      return inactive
    }
    const isSecret = isOpaqueForm(token) && !isItsServer
    const answer = {
      ...(isSecret ? whatClientsKnow(claims) : claims),
      active: true,
      token_type: tokenTypeOf(claims.cnf),
    }
    const limit = parts.revocations.limitOf(claims.jti)
    if (limit === undefined) return answer
    return (await isLeft(claims.jti, limit, isItsServer)) ? { ...answer, uses_limited: true } : inactive
  }

  /** The server of a resource asks since the token is used there; that is counted. */
  async function isLeft(
    jti: string,
    { atMost = 0, until }: RevocationEntry,
    isUse: boolean,
  ): Promise<boolean> {
    const { accessTokens } = parts.stores
    const key = tokenHash(jti)
    if (isUse) return (await accessTokens.use(key, atMost, until)) === 'used'
    return (await accessTokens.uses(key)) < atMost
  }

  return clientEndpoint(parts, 'introspection', options, async (caller, form, { req, res, failures }) => {
    if (caller.authenticationMethod === 'none')
      throw new OAuthError(
        'invalid_client',
        'introspection needs a client that authenticates (RFC 7662 section 4)',
      )
    const token = form.one('token')
    if (token === undefined) throw new OAuthError('invalid_request', 'token is missing')
    const isServer = (caller.introspects ?? []).length > 0
    const attempt = await (isServer ? failuresOfServers : failures).attempt(req, res, `client:${caller.id}`)
    if (attempt === undefined) return undefined
    const answer = await introspect(token, caller, res).catch(async (error: unknown) => {
      attempt.forgive()
      throw error
    })
    // A guess costs an HMAC and teaches nothing; counted, strangers' junk would stop what the server asks about good tokens.
    if (answer === inactive || (answer === noToken && !isServer)) await attempt.fail()
    else attempt.forgive()
    if (req.accepts('application/json', INTROSPECTION_JWT) !== INTROSPECTION_JWT) return answer
    const jwt = await signIntrospection(
      { issuer: parts.issuer, audience: caller.id, now: parts.clock() },
      answer,
      await parts.keyRing.signer(),
    )
    setNoStore(res)
    sendText(res, 200, jwt, INTROSPECTION_JWT)
    return undefined
  })
}
