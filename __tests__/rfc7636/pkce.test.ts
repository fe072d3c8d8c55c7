import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { challengeOf } from '../../lib/protocol/pkce.ts'
import { CONFIDENTIAL, PUBLIC, pkce, REDIRECT_URI, startWorld, type World } from '../support/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

async function codeRequest(clientId = PUBLIC.id) {
  const { code, verifier } = await world.authorize({ client_id: clientId })
  return {
    grant_type: 'authorization_code',
    client_id: clientId,
    code,
    code_verifier: verifier,
    redirect_uri: REDIRECT_URI,
  }
}

describe('the authorization request', () => {
  const { challenge, verifier } = pkce()
  test.each([
    ['PKC-001', 'a public client without a challenge', { client_id: PUBLIC.id, code_challenge: undefined }],
    [
      'PKC-001',
      'a public client without a challenge and a method',
      { client_id: PUBLIC.id, code_challenge: undefined, code_challenge_method: undefined },
    ],
    ['PKC-002', 'a confidential client without a challenge', { code_challenge: undefined }],
    ['PKC-002', 'an empty challenge', { code_challenge: '' }],
    ['PKC-004', 'the method left out, which would be plain', { code_challenge_method: undefined }],
    ['PKC-004', 'an empty method', { code_challenge_method: '' }],
    ['PKC-005', 'plain', { code_challenge: verifier, code_challenge_method: 'plain' }],
    ['PKC-005', 'S512', { code_challenge_method: 'S512' }],
    ['PKC-005', 's256', { code_challenge_method: 's256' }],
    ['PKC-005', 'S256 and a space', { code_challenge_method: 'S256 ' }],
    ['PKC-005', 'a challenge that is too short', { code_challenge: challenge.slice(1) }],
    ['PKC-005', 'a challenge that is too long', { code_challenge: `${challenge}A` }],
    ['PKC-005', 'a padded challenge', { code_challenge: `${challenge}=` }],
    ['PKC-005', 'a challenge in base64', { code_challenge: `${'+'.repeat(42)}A` }],
  ])('%s: %s is refused by a redirect, without a code', async (_id, _what, parameters) => {
    const { location, parameters: answer } = await world.authorize(parameters)
    expect(`${location.origin}${location.pathname}`).toBe(REDIRECT_URI)
    expect(answer).toMatchObject({ error: 'invalid_request', state: 'the-state', iss: world.issuer })
    expect(answer.code).toBeUndefined()
  })

  test('PKC-010: there is no code without a challenge, so no verifier to be ignored later', async () => {
    const { parameters } = await world.authorize({
      code_challenge: undefined,
      code_challenge_method: undefined,
    })
    expect(parameters.code).toBeUndefined()
    expect(parameters.error).toBe('invalid_request')
  })
})

describe('the token request', () => {
  test('PKC-007: without a verifier there is no token, for public and confidential clients', async () => {
    const { code_verifier: _, ...request } = await codeRequest()
    for (const extra of [{}, { code_verifier: '' }]) {
      const { status, body } = await world.token({ ...request, ...extra })
      expect([status, body.error]).toEqual([400, 'invalid_grant'])
    }
    const { client_id: __, code_verifier: ___, ...confidential } = await codeRequest(CONFIDENTIAL.id)
    const { status, body } = await world.token(confidential)
    expect([status, body.error]).toEqual([400, 'invalid_grant'])
  })

  test('PKC-008: one character changed is refused, and burns the code', async () => {
    const request = await codeRequest()
    const wrong = request.code_verifier.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'))
    const { status, body } = await world.token({ ...request, code_verifier: wrong })
    expect([status, body.error]).toEqual([400, 'invalid_grant'])
    expect(world.eventsNamed('code.burnt')).toHaveLength(1)
    expect((await world.token(request)).body.error).toBe('invalid_grant')
  })

  test.each([
    ['the challenge itself (as if plain)', (verifier: string) => challengeOf(verifier)],
    ['42 characters', (verifier: string) => verifier.slice(1)],
    ['129 characters', () => 'x'.repeat(129)],
    ['a space after it', (verifier: string) => `${verifier} `],
    ['padding after it', (verifier: string) => `${verifier}=`],
    ['foreign characters', (verifier: string) => `${verifier.slice(2)}ä+`],
  ])('PKC-008: %s is refused', async (_what, make) => {
    const request = await codeRequest()
    const { status, body } = await world.token({ ...request, code_verifier: make(request.code_verifier) })
    expect([status, body.error]).toEqual([400, 'invalid_grant'])
  })

  test('PKC-008: verifiers of 43 and 128 characters, of every allowed character', async () => {
    for (const verifier of ['-._~'.repeat(11).slice(0, 43), 'AZaz09-._~'.repeat(13).slice(0, 128)]) {
      const { code } = await world.authorize({ client_id: PUBLIC.id, code_challenge: challengeOf(verifier) })
      const { status } = await world.token({
        grant_type: 'authorization_code',
        client_id: PUBLIC.id,
        code,
        code_verifier: verifier,
        redirect_uri: REDIRECT_URI,
      })
      expect(status).toBe(200)
    }
  })

  test("PKC-011: a swapped challenge gives a code that is the attacker's verifier's, but the client's alone", async () => {
    // What is left of the risk: whoever changes the request before the server sees it chooses the verifier. The client's
    // authentication, its state and iss are what catches it.
    const attacker = pkce()
    const { code, parameters } = await world.authorize({ code_challenge: attacker.challenge })
    expect(parameters).toMatchObject({ state: 'the-state', iss: world.issuer })
    const request = {
      grant_type: 'authorization_code',
      code,
      code_verifier: attacker.verifier,
      redirect_uri: REDIRECT_URI,
    }
    expect((await world.token({ ...request, client_id: CONFIDENTIAL.id })).status).toBe(401)
    expect((await world.token({ ...request, client_id: PUBLIC.id })).body.error).toBe('invalid_grant')
    // The honest client's own verifier does not fit, so it notices, and the code is burnt.
    const honest = await world.token({ ...request, code_verifier: pkce().verifier })
    expect([honest.status, honest.body.error]).toEqual([400, 'invalid_grant'])
    expect((await world.token(request)).body.error).toBe('invalid_grant')
  })

  test('PKC-013: two verifiers are refused, and the code is not consumed', async () => {
    const request = await codeRequest()
    for (const second of [request.code_verifier, 'x'.repeat(43)]) {
      const { status, body } = await world.token([...Object.entries(request), ['code_verifier', second]])
      expect([status, body.error]).toEqual([400, 'invalid_request'])
    }
    expect((await world.token(request)).status).toBe(200)
  })

  test('PKC-014: what is compared is the SHA-256 of the verifier, never the verifier', () => {
    // The example of RFC 7636 appendix B.
    expect(challengeOf('dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk')).toBe(
      'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    )
    const { verifier } = pkce()
    expect(challengeOf(verifier)).toBe(createHash('sha256').update(verifier, 'ascii').digest('base64url'))
  })
})

test('PKC-016: metadata says S256 only', async () => {
  const response = await fetch(`${world.base}/.well-known/oauth-authorization-server`)
  expect(await response.json()).toMatchObject({ code_challenge_methods_supported: ['S256'] })
})
