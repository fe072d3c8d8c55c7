import { createHmac, createSecretKey } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { hmac, hmacText } from '../../lib/protocol/hmac.ts'

const keyOf = (bytes: Buffer) => createSecretKey(bytes)

test.each([
  [
    'test case 1',
    Buffer.alloc(20, 0x0b),
    Buffer.from('Hi There'),
    'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
  ],
  [
    'test case 2',
    Buffer.from('Jefe'),
    Buffer.from('what do ya want for nothing?'),
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  ],
  [
    'test case 3',
    Buffer.alloc(20, 0xaa),
    Buffer.alloc(50, 0xdd),
    '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe',
  ],
  [
    'test case 4',
    Buffer.from(Array.from({ length: 25 }, (_, n) => n + 1)),
    Buffer.alloc(50, 0xcd),
    '82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b',
  ],
])('RFC 4231 §4: %s', (_name, key, data, digest) => {
  expect(hmac(keyOf(key), [data]).toString('hex')).toBe(digest)
  expect(hmacText(keyOf(key), [data])).toBe(Buffer.from(digest, 'hex').toString('base64url'))
})

test('it is what Node makes, for data of any length, in parts of any kind, keys up to a block and in any order', () => {
  const keys = [1, 32, 63, 64].map((length) => keyOf(Buffer.alloc(length, length)))
  for (let length = 0; length < 300; length++) {
    const key = keys[length % keys.length] ?? keyOf(Buffer.alloc(32))
    const data = Buffer.from(Array.from({ length }, (_, n) => (n * 31 + length) & 0xff))
    const at = Math.floor(length / 3)
    const expected = createHmac('sha256', key).update('läbel').update(data).digest('hex')
    const parts = ['läbel', data.subarray(0, at), new Uint8Array(data.subarray(at))]
    expect(hmac(key, parts).toString('hex')).toBe(expected)
  }
  const long = Buffer.alloc(100_000, 7)
  const [key = keyOf(long)] = keys
  expect(hmac(key, [long])).toEqual(createHmac('sha256', key).update(long).digest())
})

test('results are one’s own, and a key longer than a block is refused', () => {
  const key = keyOf(Buffer.alloc(32, 1))
  const one = hmac(key, ['a'])
  const copy = Buffer.from(one)
  hmac(key, ['b'])
  expect(one).toEqual(copy)
  expect(() => hmac(keyOf(Buffer.alloc(65)), ['a'])).toThrow(RangeError)
})
