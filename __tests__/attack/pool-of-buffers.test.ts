import { KeyObject } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { deriveKeys } from '../../lib/protocol/derived-keys.ts'
import { startWorld } from '../support/world.ts'

test('the memory of which an app’s small buffers are views holds neither a configured secret nor a key derived from it', async () => {
  const secret = 'a-secret-that-nobody-shall-find-0123456789'
  // What an app sends that takes the `buffer` of a Buffer for its own bytes.
  const pools = new Set<ArrayBufferLike>()
  const look = () => void pools.add(Buffer.allocUnsafe(1).buffer)
  look()
  const world = await startWorld({
    aat: { secrets: [secret] },
    before: (app) =>
      app.use((_req, res, next) => {
        look()
        res.once('finish', look)
        next()
      }),
  })
  try {
    look()
    let { body } = await world.signInAndGetTokens()
    for (let round = 0; round < 5; round++) body = (await world.refresh(body.refresh_token)).body
    expect(body.refresh_token).toMatch(/^aat_rt_/)
  } finally {
    await world.close()
  }
  const keys = Object.entries(deriveKeys(secret)).filter(([, key]) => key instanceof KeyObject)
  expect(keys).toHaveLength(7)
  const found = [...pools].flatMap((pool) => {
    const bytes = Buffer.from(pool)
    const padded = (key: KeyObject, pad: number) =>
      Buffer.from(new Uint8Array(key.export()).map((byte) => byte ^ pad).buffer)
    const hasKey = ([, key]: [string, KeyObject]) =>
      [0, 0x36, 0x5c].some((pad) => bytes.includes(padded(key, pad)))
    const names = (keys as [string, KeyObject][]).filter(hasKey).map(([name]) => name)
    return bytes.includes(secret) ? ['the secret', ...names] : names
  })
  expect(found).toEqual([])
})
