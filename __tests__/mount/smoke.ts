import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { athOf, dpopKey } from '../support/dpop.ts'
import { openSite, REDIRECT_URI, type Setting, type Site } from './site.ts'

/** Text that only the app's own catch-all and error handler send. */
export const CATCH_ALL = '<!doctype html><title>the catch-all of the app</title>'
export const ERROR_PAGE = '<!doctype html><title>the error page of the app</title>'
/** A host that only forged headers name. */
export const FORGED = 'forged.example'

/** What works wherever the suite is mounted. */
export function describeMount(name: string, setting: Setting): void {
  describe(name, () => {
    let site: Site
    beforeAll(async () => {
      site = await openSite(setting)
    })
    afterAll(() => site.close())

    const expectError = (answer: Awaited<ReturnType<Site['send']>>, status: number, error: string) => {
      expect([answer.status, answer.body?.error]).toEqual([status, error])
      expect(answer.headers.get('content-type')).toBe('application/json')
      expect(answer.headers.get('cache-control')).toBe('no-store')
    }

    test('metadata, at both well-known forms, names where the endpoints are', async () => {
      const { status, body, headers } = await site.send(
        `/.well-known/oauth-authorization-server${site.prefix}`,
      )
      expect(status).toBe(200)
      expect(headers.get('content-type')).toBe('application/json')
      expect(body).toMatchObject({
        issuer: site.issuer,
        authorization_endpoint: site.urlOf('authorization'),
        token_endpoint: site.urlOf('token'),
        revocation_endpoint: site.urlOf('revocation'),
        introspection_endpoint: site.urlOf('introspection'),
        registration_endpoint: site.urlOf('registration'),
        protected_resources: [site.resource],
      })
      const appended = await site.send(`${site.prefix}/.well-known/oauth-authorization-server`)
      expect(appended.text).toBe(JSON.stringify(body))
    })

    test('the JWK Set is where metadata says, and public', async () => {
      const { status, body } = await site.send((await site.metadata()).jwks_uri as string)
      expect(status).toBe(200)
      expect(body.keys.length).toBeGreaterThan(0)
      for (const key of body.keys) expect(key).not.toHaveProperty('d')
    })

    test('a challenge leads to the metadata of the resource, and on to the issuer', async () => {
      const { status, headers } = await site.call('a')
      expect(status).toBe(401)
      const challenge = headers.get('www-authenticate') ?? ''
      expect(challenge).toMatch(/^Bearer /)
      expect(challenge).not.toContain('error=')
      const { body } = await site.send(/resource_metadata="([^"]+)"/.exec(challenge)?.[1] ?? '')
      expect(body).toMatchObject({ resource: site.resource, authorization_servers: [site.issuer] })
    })

    test('registration', async () => {
      const { status, body } = await site.register()
      expect(status).toBe(201)
      expect(body).toMatchObject({ redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: 'none' })
      expectError(await site.register({ redirect_uris: ['javascript:1'] }), 400, 'invalid_redirect_uri')
    })

    test('a client manages its registration where the answer says', async () => {
      const { body: client } = await site.register()
      const manage = (method: string, body?: object) =>
        site.send(client.registration_client_uri, {
          method,
          headers: {
            Authorization: `Bearer ${client.registration_access_token}`,
            ...(body !== undefined && { 'Content-Type': 'application/json' }),
          },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        })
      expect((await manage('GET')).body).toEqual(client)
      const updated = await manage('PUT', { ...metadataIn(client), client_name: 'Updated' })
      expect([updated.status, updated.body.client_name]).toEqual([200, 'Updated'])
      expect((await manage('DELETE')).status).toBe(204)
      expectError(await manage('GET'), 401, 'invalid_token')
    })

    test('a newcomer signs in, agrees, and calls the API', async () => {
      const { consentUrl, location, tokens } = await site.arrive()
      expect(consentUrl.startsWith(`${site.urlOf('authorization')}/consent?`)).toBe(true)
      expect(location.origin + location.pathname).toBe(REDIRECT_URI)
      expect(location.searchParams.get('iss')).toBe(site.issuer)
      expect(location.searchParams.get('state')).toBe('the-state')
      expect(tokens.status).toBe(200)
      expect(tokens.body.scope).toBe('a')
      const { status, body } = await site.call('a', tokens.body.access_token)
      expect([status, body]).toEqual([200, { subject: 'alice', scopes: ['a'] }])
    })

    test('a challenge for more scope is followed, and then it is enough', async () => {
      const { tokens } = await site.arrive()
      const { status, headers } = await site.call('b', tokens.body.access_token)
      expect(status).toBe(403)
      const challenge = headers.get('www-authenticate') ?? ''
      expect(challenge).toContain('error="insufficient_scope"')
      const more = await site.arrive(/ scope="([^"]+)"/.exec(challenge)?.[1])
      expect((await site.call('b', more.tokens.body.access_token)).status).toBe(200)
    })

    test('refresh; a replay after the grace window is caught and ends the family', async () => {
      const { tokens, refresh } = await site.arrive()
      const first = await refresh(tokens.body.refresh_token)
      expect(first.status).toBe(200)
      expect(first.body.refresh_token).not.toBe(tokens.body.refresh_token)
      site.clock.advance(11)
      expectError(await refresh(tokens.body.refresh_token), 400, 'invalid_grant')
      expectError(await refresh(first.body.refresh_token), 400, 'invalid_grant')
      expect((await site.call('a', first.body.access_token)).status).toBe(401)
    })

    test('revocation and introspection', async () => {
      const { body } = await site.machineToken()
      const introspect = () => site.post(site.urlOf('introspection'), { token: body.access_token }, site.me)
      expect((await introspect()).body).toMatchObject({ active: true, aud: site.resource, scope: 'a' })
      expect((await site.call('a', body.access_token)).status).toBe(200)
      const revoked = await site.post(site.urlOf('revocation'), { token: body.access_token }, site.me)
      expect([revoked.status, revoked.text]).toEqual([200, '{}'])
      expect((await introspect()).body).toEqual({ active: false })
      expect((await site.call('a', body.access_token)).status).toBe(401)
    })

    test('introspection as a JWT, and the deny list', async () => {
      const { body } = await site.machineToken()
      const accept = { ...site.me, Accept: 'application/token-introspection+jwt' }
      const answer = await site.post(site.urlOf('introspection'), { token: body.access_token }, accept)
      expect(answer.headers.get('content-type')).toBe('application/token-introspection+jwt')
      expect(answer.text.split('.')).toHaveLength(3)
      const denied = await site.post(site.urlOf('denyList'), { token: body.access_token }, site.me)
      expect([denied.status, denied.body.denied.type]).toEqual([200, 'token'])
      const list = await site.send(`${site.urlOf('denyList')}?limit=1000`, { headers: site.me })
      expect(list.body.denied).toContainEqual(expect.objectContaining(denied.body.denied))
      expect((await site.call('a', body.access_token)).status).toBe(401)
    })

    test('a token that is bound to a key, with proofs for the addresses that clients know', async () => {
      const key = await dpopKey(site.clock)
      const form = { grant_type: 'client_credentials', scope: 'a' }
      const asked = { ...site.me, DPoP: key.proof('POST', site.urlOf('token')) }
      const { body } = await site.post(site.urlOf('token'), form, asked)
      expect(body.token_type).toBe('DPoP')
      const url = `${site.resource}/a`
      const present = (address: string) =>
        site.send(url, {
          headers: {
            Authorization: `DPoP ${body.access_token}`,
            DPoP: key.proof('GET', address, { ath: athOf(body.access_token) }),
          },
        })
      expect((await present(url)).status).toBe(200)
      for (const address of [`https://${FORGED}/api/a`, `${site.resource}/b`])
        expectError(await present(address), 401, 'invalid_dpop_proof')
      expect((await site.call('a', body.access_token)).status).toBe(401)
    })

    test('errors are JSON', async () => {
      expectError(await site.machineToken({ grant_type: 'password' }), 400, 'unsupported_grant_type')
      expectError(await site.machineToken({}), 400, 'invalid_request')
      const stranger = await site.post(site.urlOf('token'), {
        grant_type: 'client_credentials',
        client_id: 'nobody',
      })
      expectError(stranger, 401, 'invalid_client')
      const twice = 'grant_type=client_credentials&scope=a&scope=a'
      expectError(await site.machineToken(twice), 400, 'invalid_request')
      const plain = await site.post(site.urlOf('token'), 'grant_type=client_credentials', {
        ...site.me,
        'Content-Type': 'text/plain',
      })
      expectError(plain, 400, 'invalid_request')
      const malformed = await site.send(site.urlOf('registration'), {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: '{"redirect_uris": [',
      })
      expect(malformed.status).toBe(400)
      const get = await site.send(site.urlOf('token'))
      expectError(get, 405, 'invalid_request')
      expect(get.headers.get('allow')).toBe('POST')
    })

    test('an authorization request that cannot be answered is an error page of this server', async () => {
      const { status, headers, text } = await site.send(`${site.urlOf('authorization')}?client_id=nobody`)
      expect(status).toBe(400)
      expect(headers.get('location')).toBeNull()
      expect(headers.get('content-type')).toMatch(/^text\/html/)
      expect(headers.get('content-security-policy')).toContain("default-src 'none'")
      expect(text).not.toContain(ERROR_PAGE)
    })

    test('what is not there is a JSON 404, beneath endpoints and beneath .well-known', async () => {
      const paths = [
        `${site.urlOf('token')}/style.css`,
        `${site.urlOf('registration')}/some-client`,
        '/.well-known/openid-configuration',
        '/.well-known/oauth-authorization-server/elsewhere',
        '/.well-known/oauth-protected-resource/elsewhere',
      ]
      for (const path of paths) {
        const { status, headers, body } = await site.send(path)
        expect([path, status, typeof body]).toEqual([path, 404, 'object'])
        expect(headers.get('content-type')).toBe('application/json')
      }
    })

    test('no answer is a page of the app, or names what a forged header said', () => {
      expect(site.transcript.length).toBeGreaterThan(20)
      for (const answer of site.transcript) {
        expect(answer).not.toContain(CATCH_ALL)
        expect(answer).not.toContain(ERROR_PAGE)
        expect(answer).not.toContain(FORGED)
      }
    })
  })
}

/** What a client may send back of what it was told. */
function metadataIn(told: Record<string, unknown>): Record<string, unknown> {
  const ours = ['registration_access_token', 'registration_client_uri', 'client_id_issued_at']
  return Object.fromEntries(Object.entries(told).filter(([name]) => !ours.includes(name)))
}
