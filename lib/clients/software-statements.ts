import type { JWTPayload } from 'jose'
import * as errors from 'jose/errors'
import { decodeJwt } from 'jose/jwt/decode'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { Clock } from '../protocol/time.ts'
import type { ClientJwks, ClientKeys, KeyOwner } from './client-keys.ts'
import { verifyByKeys } from './verify-by-keys.ts'

/** Who may vouch for software (RFC 7591 §2.3). */
export interface StatementIssuer {
  /** The `iss` of its statements. */
  readonly issuer: string
  readonly jwks: ClientJwks | undefined
  /** Where its keys are published, in place of `jwks`. */
  readonly jwksUri: string | undefined
  readonly algorithms: readonly string[]
  /** Seconds from `iat` in which a statement may be used; absent: until its `exp`, if it has one. */
  readonly maxAge: number | undefined
}

export interface SoftwareStatementsOptions {
  readonly issuers: readonly StatementIssuer[]
  /** Whom a statement that names an audience must be for: this server, by its issuer or its registration endpoint. */
  readonly audiences: readonly string[]
  readonly keys: () => ClientKeys
  readonly clock: Clock
}

/** In characters. */
const MAX_STATEMENT = 8192
/** How far an issuer's clock may differ, in seconds. */
const TOLERANCE = 30

/** Claims about the statement itself: none of them is client metadata. */
const ownClaims = ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'software_statement']

const invalid = (what: string, cause?: unknown) =>
  new OAuthError('invalid_software_statement', `software_statement ${what}`, { cause })

/** The `iss` of a statement, unverified. */
export function issuerOfStatement(statement: string | undefined): string | undefined {
  if (statement === undefined) return undefined
  try {
    return decodeJwt(statement).iss
  } catch {
    return undefined
  }
}

export function createSoftwareStatements({ issuers, audiences, keys, clock }: SoftwareStatementsOptions) {
  const byName = new Map(issuers.map((issuer) => [issuer.issuer, issuer]))

  /** @throws OAuthError `unapproved_software_statement` where nobody trusts its issuer, else `invalid_software_statement` */
  async function verify(statement: unknown): Promise<JWTPayload> {
    if (typeof statement !== 'string' || statement.length > MAX_STATEMENT)
      throw invalid(`must be a JWT of at most ${MAX_STATEMENT} characters`)
    const name = issuerOfStatement(statement)
    if (name === undefined) throw invalid('must be a JWT with iss')
    const trusted = byName.get(name)
    if (trusted === undefined)
      throw new OAuthError(
        'unapproved_software_statement',
        'software_statement is from an issuer that this server does not trust',
      )
    const now = clock()
    const { jwks, jwksUri } = trusted
    const owner: KeyOwner = {
      id: name,
      origin: 'configuration',
      ...(jwks !== undefined && { jwks }),
      ...(jwksUri !== undefined && { jwksUri }),
    }
    const verified = await verifyByKeys(statement, owner, keys(), {
      issuer: name,
      algorithms: [...trusted.algorithms],
      currentDate: new Date(now * 1000),
      clockTolerance: TOLERANCE,
    })
    if (verified === errors.JWTExpired.code) throw invalid('is expired')
    if (typeof verified === 'string') throw invalid('could not be verified', verified)
    const { payload, protectedHeader } = verified
    // Another kind of JWT of the same issuer, an ID token or an access token, vouches for no software (RFC 8725 §3.11).
    const type = protectedHeader.typ?.toLowerCase() ?? 'jwt'
    if (!['jwt', 'application/jwt', 'software-statement+jwt'].includes(type)) throw invalid('has another typ')
    const { aud, iat } = payload
    if (aud !== undefined && ![aud].flat().some((audience) => audiences.includes(audience)))
      throw invalid('is for another audience')
    if (iat !== undefined && iat > now + TOLERANCE) throw invalid('is from the future')
    if (trusted.maxAge !== undefined && (iat === undefined || now > iat + trusted.maxAge + TOLERANCE))
      throw invalid('is too old')
    await keys()
      .keep(owner)
      .catch(() => undefined)
    return payload
  }

  return {
    /** Statements mean something here. */
    isOn: issuers.length > 0,

    trusts: (issuer: string | undefined): boolean => issuer !== undefined && byName.has(issuer),

    /**
     * Client metadata with what its software statement says, which takes precedence (RFC 7591 §2.3).
     * @throws OAuthError
     */
    async apply(metadata: Record<string, unknown>): Promise<Record<string, unknown>> {
      const statement = metadata.software_statement
      const claims = Object.entries(await verify(statement)).filter(([name]) => !ownClaims.includes(name))
      const stated = Object.fromEntries(claims)
      const isStated = (name: string) => Object.hasOwn(stated, name)
      const hasKeys = isStated('jwks') || isStated('jwks_uri')
      // Nor does the client say in another language, or of its keys in another way, what is stated.
      const own = Object.entries(metadata).filter(
        ([name]) =>
          !isStated(name.split('#', 1)[0] as string) && !(hasKeys && ['jwks', 'jwks_uri'].includes(name)),
      )
      return { ...Object.fromEntries(own), ...stated }
    },
  }
}
