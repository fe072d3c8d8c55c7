/** The guard on tokens that are bound to a key: each request brings a new DPoP proof, signed by the load while it waits. */

import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { compare } from '../harness/compare.js'
import { request } from '../harness/load.js'
import { ratio, whole } from '../harness/numbers.js'
import { clientCredentials, headers } from '../servers/token-shared.js'
import { get } from './guard.js'

/** @typedef {{ alg: string, pair: import('node:crypto').KeyPairKeyObjectResult, hash: string | null }} Signer */

/** @type {Signer[]} */
const SIGNERS = [
  { alg: 'ES256', pair: generateKeyPairSync('ec', { namedCurve: 'P-256' }), hash: 'sha256' },
  { alg: 'EdDSA', pair: generateKeyPairSync('ed25519'), hash: null },
  { alg: 'RS256', pair: generateKeyPairSync('rsa', { modulusLength: 2048 }), hash: 'sha256' },
]
const segment = (/** @type {object} */ value) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** @param {Signer} signer */
function proofsOf({ alg, pair, hash }) {
  const header = segment({ typ: 'dpop+jwt', alg, jwk: pair.publicKey.export({ format: 'jwk' }) })
  const run = Math.random()
  let count = 0
  /** @param {object} claims */
  return (claims) => {
    const iat = Math.floor(Date.now() / 1000)
    const input = `${header}.${segment({ jti: `${run} ${count++}`, iat, ...claims })}`
    const signature = sign(hash, Buffer.from(input), { key: pair.privateKey, dsaEncoding: 'ieee-p1363' })
    return `${input}.${signature.toString('base64url')}`
  }
}

/** @param {string} url @param {Record<string, string>} [proof] */
async function tokenOf(url, proof) {
  const init = { method: 'POST', headers: { ...headers, ...proof }, body: clientCredentials }
  const response = await fetch(`${url}/oauth/token`, init)
  if (!response.ok) throw new Error(`the token endpoint answered ${response.status}`)
  return /** @type {{ access_token: string }} */ (await response.json()).access_token
}

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function bound(effort) {
  /** @type {import('../harness/compare.js').Case[]} */
  const cases = [
    { name: 'no auth', prepare: () => ({ next: () => get('/open', 'none') }) },
    {
      name: 'bearer token',
      async prepare({ url }) {
        const text = get('/guarded', await tokenOf(url))
        return { next: () => text }
      },
    },
    ...SIGNERS.map((signer) => ({
      name: `bound token, ${signer.alg}`,
      async prepare(/** @type {import('../harness/processes.js').Server} */ { url }) {
        const proof = proofsOf(signer)
        const token = await tokenOf(url, { DPoP: proof({ htm: 'POST', htu: `${url}/oauth/token` }) })
        const ath = createHash('sha256').update(token).digest('base64url')
        const claims = { htm: 'GET', htu: `${url}/guarded`, ath }
        const next = () => request('GET', '/guarded', { Authorization: `DPoP ${token}`, DPoP: proof(claims) })
        return { next }
      },
    })),
  ]
  const measured = await compare(
    [
      {
        name: 'express-aat',
        // Room for the proofs of some minutes.
        target: { module: 'guard-aat', kind: 'stock', options: { maxEntries: 2_000_000 } },
        cases,
      },
    ],
    effort,
  )
  return {
    title: 'Guard: tokens that are bound to a key',
    note: 'A new DPoP proof with each request, replays remembered in memory (room for 2,000,000); stock Express. Medians over starts, ratios within a start.',
    tables: [
      {
        heads: ['guard', 'CPU µs', 'to no auth', 'to a bearer token'],
        rows: cases.map(({ name }) => [
          name,
          whole(measured.of('express-aat', name, 'cpu')),
          ...['no auth', 'bearer token'].map((other) =>
            ratio(measured.ratio(['express-aat', name], ['express-aat', other], 'cpu')),
          ),
        ]),
      },
    ],
  }
}
