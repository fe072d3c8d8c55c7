import { generateKeyPairSync, type JsonWebKey, type KeyObject } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { calculateJwkThumbprint, type JWK } from 'jose'
import { jwkThumbprint } from '../../lib/protocol/public-jwk.ts'

const jwkOf = ({ publicKey }: { publicKey: KeyObject }): JsonWebKey => publicKey.export({ format: 'jwk' })

test('jwkThumbprint: the example of RFC 7638 §3.1', () => {
  const n =
    '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs' +
    'tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n' +
    '91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw'
  const jwk = { kty: 'RSA', n, e: 'AQAB', alg: 'RS256', kid: '2011-04-29' }
  expect(jwkThumbprint(jwk)).toBe('NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs')
})

test.each([
  ['EC', jwkOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }))],
  ['OKP', jwkOf(generateKeyPairSync('ed25519'))],
  ['RSA', jwkOf(generateKeyPairSync('rsa', { modulusLength: 2048 }))],
])('jwkThumbprint is what jose makes of a key of type %s', async (_type, jwk) => {
  expect(jwkThumbprint(jwk)).toBe(await calculateJwkThumbprint(jwk as JWK))
})
