import { getHeapSnapshot } from 'node:v8'
import { expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import { openRing } from '../support/forge.ts'
import { ISSUER, SECRET, START, signNow, startInstance } from './instances.ts'

test('KEY-023: no text of a private key is left in the JavaScript heap after start and after signing', async () => {
  const stores = memoryStores()
  const clock = () => START
  const instance = startInstance({ store: stores.ring, clock })
  await instance.maintain()
  const { privateKey } = await instance.signer()
  await signNow(instance, clock)
  expect(privateKey.type).toBe('private')
  expect(JSON.stringify(privateKey)).toBe('{}')
  const chunks: Buffer[] = []
  for await (const chunk of getHeapSnapshot()) chunks.push(Buffer.from(chunk))
  const heap = Buffer.concat(chunks)
  // The needles are made only now, so that they are not in the heap themselves.
  const [active] = await openRing(stores, ISSUER, [SECRET])
  const key = active?.privateKey
  const der = key?.export({ format: 'der', type: 'pkcs8' }) ?? Buffer.alloc(0)
  const needles = [
    String(key?.export({ format: 'jwk' }).d),
    der.toString('base64'),
    der.toString('base64url'),
    der.toString('hex'),
  ]
  for (const needle of needles) {
    expect(needle.length).toBeGreaterThan(40)
    expect(heap.includes(needle)).toBe(false)
  }
  // The search does find what is there: the kid is public and stays in memory.
  expect(heap.includes(active?.record.kid ?? '')).toBe(true)
})
