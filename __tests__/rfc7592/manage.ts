import { readAnswer, type TokenAnswer } from '../support/world.ts'

export interface Registration {
  client_id: string
  client_secret: string
  registration_client_uri: string
  registration_access_token: string
}

/** A request to a client configuration endpoint, as RFC 7592 shows it. */
export async function manage(
  method: string,
  { registration_client_uri: uri, registration_access_token: token }: Partial<Registration>,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<TokenAnswer> {
  return readAnswer(
    await fetch(uri as string, {
      method,
      headers: {
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    }),
  )
}

/** The same client at another instance: registrations say where the issuer is. */
export function at(base: string, registration: Registration): Registration {
  const { pathname } = new URL(registration.registration_client_uri)
  return { ...registration, registration_client_uri: base + pathname }
}

export const METADATA = {
  client_name: 'My Example Client',
  redirect_uris: ['https://client.example/cb', 'https://client.example/callback2'],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'client_secret_post',
  logo_uri: 'https://client.example/logo.png',
  scope: 'a b c',
}
