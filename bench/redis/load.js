/** The load: both grants, on connections that each wait for their answer before they ask again. */

import { clientCredentials, headers, refreshing } from './shared.js'

export const CONNECTIONS = 32
// Installed for the benchmark only, so neither imported statically nor typed.
const name = 'autocannon'

/**
 * `cpu` and `redisCpu` are microseconds a request, `busy` the share of one CPU that the server used: far below 1, it was
 * waiting for the load or for Redis, and requests per second tell little about it.
 * @typedef {{ perSecond: number, cpu: number, redisCpu: number, busy: number, errors: number }} Measurement
 * @typedef {'refresh_token' | 'client_credentials'} GrantType
 */

/**
 * @param {import('./children.js').Server} server
 * @param {GrantType} grantType
 * @param {number} seconds
 * @returns {Promise<Measurement>}
 */
export async function measure(server, grantType, seconds) {
  const { default: autocannon } = await import(name)
  const answers = { good: 0, bad: 0 }
  const setupClient =
    grantType === 'refresh_token' ? chains(await server.ask('open', CONNECTIONS), answers) : machines(answers)

  const before = await used(server)
  const result = await autocannon({
    url: server.url,
    connections: CONNECTIONS,
    duration: seconds,
    setupClient,
  })
  const after = await used(server)
  const cpu = after.server - before.server
  return {
    perSecond: answers.good / result.duration,
    cpu: cpu / answers.good,
    redisCpu: (after.redis - before.redis) / answers.good,
    busy: cpu / 1e6 / result.duration,
    errors: answers.bad + result.errors,
  }
}

/**
 * Each connection has a family of its own, and presents the token that the answer before gave it.
 * @param {string[]} first
 * @param {{ good: number, bad: number }} answers
 */
function chains(first, answers) {
  let next = 0
  /** @param {{ setRequests: (requests: object[]) => void }} client */
  return (client) => {
    let token = first[next++] ?? ''
    client.setRequests([
      {
        method: 'POST',
        headers,
        /** @param {object} request */
        setupRequest: (request) => ({ ...request, body: refreshing(token) }),
        /** @param {number} status @param {string} body */
        onResponse(status, body) {
          const given = status === 200 ? JSON.parse(body) : {}
          if (isJwt(given.access_token) && given.refresh_token && given.refresh_token !== token) {
            token = given.refresh_token
            answers.good++
          } else answers.bad++
        },
      },
    ])
  }
}

/** @param {{ good: number, bad: number }} answers */
function machines(answers) {
  /** @param {{ setRequests: (requests: object[]) => void }} client */
  return (client) => {
    client.setRequests([
      {
        method: 'POST',
        headers,
        body: clientCredentials,
        /** @param {number} status @param {string} body */
        onResponse(status, body) {
          if (status === 200 && isJwt(JSON.parse(body).access_token)) answers.good++
          else answers.bad++
        },
      },
    ])
  }
}

/** @param {unknown} token */
function isJwt(token) {
  return typeof token === 'string' && token.split('.').length === 3
}

/** Microseconds of CPU so far. @param {import('./children.js').Server} server */
async function used(server) {
  const text = await server.redis.info('cpu')
  let redis = 0
  for (const [, seconds] of text.matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm)) redis += Number(seconds) * 1e6
  return { server: /** @type {number} */ (await server.ask('cpu')), redis }
}
