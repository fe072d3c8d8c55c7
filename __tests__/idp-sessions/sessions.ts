import { partsOf } from '../../lib/http/aat.ts'
import type { AatOptions, IdpSession } from '../../lib/index.ts'
import { type Browser, CONFIDENTIAL, PUBLIC, REDIRECT_URI, type World } from '../support/world.ts'

export const IDP = 'https://idp.example'

/** The session of a user, by its id, that ends so many seconds after now; or nobody says when. */
export function sessionOf(world: World, sid: string, seconds?: number, subject?: string): IdpSession {
  return {
    issuer: IDP,
    sid,
    ...(subject !== undefined && { subject }),
    ...(seconds !== undefined && { expiresAt: world.clock.now + seconds }),
  }
}

/** What resolveUser says from now on of a user's session. */
export function signedIn(world: World, idpSession: unknown, user = 'alice'): void {
  world.users[user] = { ...world.users[user], idpSession: idpSession as IdpSession }
}

type RefreshTokens = NonNullable<AatOptions['refreshTokens']>

/** A server that binds; the same for its clients unless they say otherwise. */
export function bound(over: RefreshTokens = {}, more: Partial<AatOptions> = {}): Partial<AatOptions> {
  return {
    refreshTokens: {
      boundToIdpSession: true,
      lifetime: 100,
      dangerouslyKeepForPublicClients: true,
      ...over,
    },
    ...more,
  }
}

type OneClient = NonNullable<AatOptions['clients']>[number]

/** The confidential and the public client, each with what it has of its own. */
export function clients(
  confidential: Partial<OneClient>,
  other: Partial<OneClient> = {},
): { clients: OneClient[] } {
  const redirectUris = [REDIRECT_URI]
  return {
    clients: [
      { clientId: CONFIDENTIAL.id, clientSecret: CONFIDENTIAL.secret, redirectUris, ...confidential },
      { clientId: PUBLIC.id, redirectUris, ...other },
    ],
  }
}

/** Signs a user in at the public client and gets tokens. */
export async function publicTokens(world: World, settings: { as?: string; browser?: Browser } = {}) {
  return world.signInAndGetTokens({ client_id: PUBLIC.id, scope: 'a' }, { client_id: PUBLIC.id }, settings)
}

/** These instances learn what was written to the log by now. */
export async function learn(...worlds: World[]): Promise<void> {
  for (const { aat } of worlds) await partsOf(aat, 'a test').revocations.pull()
}
