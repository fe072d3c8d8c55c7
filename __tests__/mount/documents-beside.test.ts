import { afterAll, beforeAll, expect, test } from '@jest/globals'
import express, { type RequestHandler } from 'express'
import { protectedResource, remoteIssuer, wellKnown } from '../../lib/index.ts'
import { readAnswer, startWorld, type World } from '../support/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

test('documents of several issuers stand beside each other, whichever comes first', async () => {
  const remote = remoteIssuer('https://as.example', {
    resources: { 'https://api.example/elsewhere': { scopes: ['a'] } },
  })
  const here = wellKnown(world.aat)
  const elsewhere = protectedResource(remote)
  const servedBy = async (...handlers: RequestHandler[]) => {
    const server = express()
      .use(handlers)
      .use((_req, res) => void res.send('<html>'))
      .listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    try {
      const { port } = server.address() as { port: number }
      const paths = [
        'oauth-authorization-server',
        'oauth-protected-resource/elsewhere',
        'openid-configuration',
      ]
      return await Promise.all(
        paths.map(async (path) => {
          const { status, body } = await readAnswer(
            await fetch(`http://127.0.0.1:${port}/.well-known/${path}`),
          )
          return [status, body.issuer ?? body.resource ?? body.error]
        }),
      )
    } finally {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
  const both = [
    [200, world.issuer],
    [200, 'https://api.example/elsewhere'],
    [404, 'invalid_request'],
  ]
  expect(await servedBy(here, elsewhere)).toEqual(both)
  expect(await servedBy(elsewhere, here)).toEqual(both)
})
