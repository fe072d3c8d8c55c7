import { sha256 } from './digest.ts'
import type { NumericDate } from './time.ts'

/** A session at an identity provider: who the provider is, and what it calls the session. */
export interface IdpSessionId {
  /** The provider: its OpenID Connect issuer identifier or its SAML entity ID. */
  readonly issuer: string
  /** The session: `sid` of OpenID Connect; `samlSignIn` makes one of SessionIndex and NameID. */
  readonly sid: string
}

/** All sessions that one user has at an identity provider. */
export interface IdpSubject {
  readonly issuer: string
  /** What the provider calls the user: `sub` of OpenID Connect, the `NameID` of SAML. */
  readonly subject: string
}

/** The session at the identity provider in which a user is signed in to the app. */
export interface IdpSession extends IdpSessionId {
  /** What the provider calls the user; needed where it ends sessions by user and not by session. */
  readonly subject?: string | undefined
  /** When the session ends, in seconds since the epoch; left out where the provider does not say. */
  readonly expiresAt?: NumericDate | undefined
}

/** How access tokens and revocations name a session: whoever reads a token learns nothing of the provider. */
export function idpSessionKey({ issuer, sid }: IdpSessionId): string {
  return sha256(JSON.stringify(['session', issuer, sid])).slice(0, 22)
}

export function idpSubjectKey({ issuer, subject }: IdpSubject): string {
  return sha256(JSON.stringify(['subject', issuer, subject])).slice(0, 22)
}
