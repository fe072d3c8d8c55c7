import type { Request } from 'express'
import type { AatClaims } from '../tokens/access-token.ts'

/** What the guard found: on `req.auth`, a superset of what the MCP TypeScript SDK's transports read. */
export interface Auth<Claims = unknown> {
  /** The token as it was presented. A secret: for calls on behalf of the client, never for logs. */
  readonly token: string
  readonly clientId: string
  readonly scopes: readonly string[]
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** The resource that the token is for. */
  readonly resource: URL
  /** The user's id, or `client:` and the client's id where no user is involved. */
  readonly subject: string
  readonly principal: 'user' | 'client'
  /** All claims of the token, typed by `readClaims` of the guard's options; frozen. */
  readonly claims: Readonly<AatClaims> & Claims
  /** For MCP tools, which see `authInfo.extra`. */
  readonly extra: {
    readonly subject: string
    readonly principal: 'user' | 'client'
    readonly claims: Readonly<AatClaims> & Claims
  }
}

/**
 * What the guard found, typed.
 * @throws Error where no `requireAat` ran before: a mistake in the app, not of the client
 */
export function getAat<Claims = unknown>(req: Request): Auth<Claims> {
  const { auth } = req as { auth?: Auth<Claims> }
  if (auth === undefined || typeof auth.subject !== 'string')
    throw new Error('getAat: requireAat did not run before this handler')
  return auth
}
