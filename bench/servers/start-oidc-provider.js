/** node-oidc-provider in a bare Express app, in memory. */

import { generateKeyPairSync } from 'node:crypto'
import express from 'express'

// Installed for the benchmark only, so neither imported statically nor typed.
const name = 'oidc-provider'
const { default: Provider } = await import(name)

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const provider = new Provider('https://shop.example', {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
  cookies: { keys: ['only for the benchmark'] },
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  features: {
    registration: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true },
  },
})
const app = express()
app.use('/oidc', provider.callback())
app.get('/', (_req, res) => void res.send('ok'))
app.listen(0, '127.0.0.1', () => process.send?.('listening'))
