import { afterAll, expect, test } from '@jest/globals'
import express from 'express'
import request from 'supertest'
import { createAat, requireAat, tokenEndpoint, wellKnown } from '../../lib/index.ts'
import { DPOP_CHALLENGE } from '../support/dpop.ts'

/** An app that never listens itself: some hosts, and supertest, call it as a function of request and response. */
const issuer = 'https://shop.example.com'
const aat = createAat({ issuer, resources: { [`${issuer}/api`]: { scopes: ['read'] } } })
const app = express()
app.use(wellKnown(aat))
app.use('/oauth/token', tokenEndpoint(aat))
app.get('/api', requireAat(aat, { scope: 'read' }), (_req, res) => {
  res.json({ ok: true })
})
afterAll(() => aat.close())

test('metadata is of the configured issuer, whatever the host of the request', async () => {
  const { status, body } = await request(app)
    .get('/.well-known/oauth-authorization-server')
    .set('Host', 'evil.example')
  expect([status, body.issuer, body.token_endpoint]).toEqual([200, issuer, `${issuer}/oauth/token`])
})

test('the JWK Set is there without ready() having been called', async () => {
  const { status, body } = await request(app).get('/.well-known/jwks.json')
  expect([status, body.keys.length]).toEqual([200, 2])
})

test('the guard challenges', async () => {
  const { status, headers } = await request(app).get('/api')
  expect(status).toBe(401)
  expect(headers['www-authenticate']).toBe(
    `Bearer scope="read", resource_metadata="${issuer}/.well-known/oauth-protected-resource/api", ${DPOP_CHALLENGE}`,
  )
})

test('the token endpoint answers in JSON', async () => {
  const { status, body } = await request(app)
    .post('/oauth/token')
    .type('form')
    .send({ grant_type: 'client_credentials', client_id: 'nobody' })
  expect([status, body.error]).toEqual([401, 'invalid_client'])
})
