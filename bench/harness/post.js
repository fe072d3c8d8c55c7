/** Single grants, outside of the load: on connections that stay open, so that concurrent requests do arrive together. */

import { Agent, request } from 'node:http'
import { headers } from '../servers/token-shared.js'

const agent = new Agent({ keepAlive: true })

/**
 * @param {string} url
 * @param {string} body
 * @returns {Promise<{ status: number, accessToken?: string, refreshToken?: string }>}
 */
export function post(url, body) {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', headers, agent }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => {
        text += chunk
      })
      response.once('error', reject)
      response.once('end', () => {
        const given = response.statusCode === 200 ? JSON.parse(text) : {}
        const { access_token: accessToken, refresh_token: refreshToken } = given
        resolve({ status: response.statusCode ?? 0, accessToken, refreshToken })
      })
    })
    sent.once('error', reject)
    sent.end(body)
  })
}

/** @param {import('./processes.js').Server} server */
export const endpointOf = ({ url, path }) => url + path

/** @param {import('./processes.js').Server} server */
export function redisOf({ redis }) {
  if (redis === undefined) throw new Error('the server was started without a Redis')
  return redis
}
