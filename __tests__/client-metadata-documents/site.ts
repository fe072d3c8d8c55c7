import type { AatOptions } from '../../lib/index.ts'
import { HOST, type StrangersHost, startStrangersHost } from '../support/strangers-host.ts'
import { Browser, startWorld, type World, type WorldOptions } from '../support/world.ts'

export const CLIENT_ID = `https://${HOST}/client.json`
export const CALLBACK = `https://${HOST}/callback`
export const CACHED = { 'Cache-Control': 'max-age=600' }

/** A document as clients publish them, about the given URL. */
export function aDocument(over: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    client_id: CLIENT_ID,
    client_name: 'A program of strangers',
    redirect_uris: [CALLBACK],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    ...over,
  }
}

/** An authorization server that takes metadata documents, and the host of strangers that publishes one. */
export async function startSite({
  aat = {},
  host: given,
  ...options
}: Omit<WorldOptions, 'aat'> & { aat?: Partial<AatOptions>; host?: StrangersHost } = {}) {
  const host = given ?? (await startStrangersHost())
  const world = await startWorld({
    ...options,
    aat: {
      clientMetadataDocuments: true,
      ...aat,
      outbound: { network: host.network, ...aat.outbound },
    },
  })
  host.answerJson(aDocument(), CACHED)
  return {
    host,
    world,
    /** The first answer to an authorization request of the client. */
    ask: (parameters: Record<string, string | undefined> = {}) =>
      new Browser(world.base).get(
        world.authorizeUrl({ client_id: CLIENT_ID, redirect_uri: CALLBACK, ...parameters }),
      ),
    signIn: (
      parameters: Record<string, string | undefined> = {},
      tokenParameters: Record<string, string> = {},
      settings: Parameters<World['signInAndGetTokens']>[2] = {},
    ) =>
      world.signInAndGetTokens(
        { client_id: CLIENT_ID, redirect_uri: CALLBACK, ...parameters },
        { client_id: CLIENT_ID, ...tokenParameters },
        settings,
      ),
    refresh: (refreshToken: string) => world.refresh(refreshToken, { client_id: CLIENT_ID }),
    async close() {
      await world.close()
      if (given === undefined) await host.close()
    },
  }
}

export type Site = Awaited<ReturnType<typeof startSite>>
