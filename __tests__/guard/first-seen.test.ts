import { expect, test } from '@jest/globals'
import { requireAat } from '../../lib/index.ts'
import { claimsOf, startWorld, type WorldOptions } from '../support/world.ts'

/** A request whose token a guard sees for the first time is handed on at the end of the turn of the event loop. */
async function start(after: NonNullable<WorldOptions['after']>) {
  const world = await startWorld({ after })
  const { access_token: token } = (await world.token({ grant_type: 'client_credentials', scope: 'a' })).body
  return { world, token }
}

test('a token that is revoked before its request is handed on is refused', async () => {
  let isOver = false
  const { world, token } = await start((app, aat) => {
    const guard = requireAat(aat, { resource: `${aat.issuer}/api` })
    app.get('/late', (req, res, next) => {
      guard(req, res, next)
      const jti = String(claimsOf(String(req.headers.authorization).slice(7)).jti)
      void aat.revoke({ jti }).then(() => {
        isOver = true
      })
    })
    app.get('/late', (_req, res) => void res.json({ isOver }))
  })
  try {
    const { status, body } = await world.call('/late', token)
    expect([status, body.error, isOver]).toEqual([401, 'invalid_token', true])
  } finally {
    await world.close()
  }
})

test('what stands for setImmediate in tests of apps holds up no request', async () => {
  const { world, token } = await start((app, aat) => {
    app.get(
      '/guarded',
      requireAat(aat, { resource: `${aat.issuer}/api` }),
      (_req, res) => void res.json({ good: true }),
    )
  })
  const { setImmediate } = globalThis
  globalThis.setImmediate = (() => undefined) as never
  try {
    expect((await world.call('/guarded', token)).body).toEqual({ good: true })
    expect((await world.call('/guarded', 'x')).status).toBe(401)
  } finally {
    globalThis.setImmediate = setImmediate
    await world.close()
  }
})

test('a handler whose headers are on their way already runs, whether the token is known or not', async () => {
  const { world, token } = await start((app, aat) => {
    app.get(
      '/stream',
      (_req, res, next) => {
        res.flushHeaders()
        next()
      },
      requireAat(aat, { resource: `${aat.issuer}/api` }),
      (_req, res) => void res.end('{"good":true}'),
    )
  })
  try {
    for (let use = 0; use < 2; use++)
      expect((await world.call('/stream', token)).body).toEqual({ good: true })
  } finally {
    await world.close()
  }
})
