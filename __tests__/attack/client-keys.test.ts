import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { problemOfClientJwks } from '../../lib/clients/client-jwks.ts'

// One verification with it costs 5 ms instead of 0.06 ms (measured), at an endpoint where good requests are never limited.
test('a registered RSA key with a huge public exponent is refused', () => {
  const jwk = generateKeyPairSync('rsa', { modulusLength: 3072 }).publicKey.export({ format: 'jwk' })
  const exponent = randomBytes(383)
  exponent[0] = 0x81
  exponent[382] = 0x01
  expect(problemOfClientJwks({ keys: [{ ...jwk, e: exponent.toString('base64url') }] })).toBeDefined()
})
