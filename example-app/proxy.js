import { Agent, request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'

/** @typedef {{ name: string, url: string }} Instance */

/** A connection for each request, so that one that breaks says exactly whether the request was sent. */
const agent = new Agent({ keepAlive: false })
const ofOneHop = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te', 'trailer']

/**
 * A reverse proxy that asks one instance after the other, for show and on one machine: `X-Instance` of an answer names who
 * gave it, and of a request who shall. Where an instance is down the next one is asked, if nothing can happen twice.
 * @param {Instance[]} instances
 * @returns {import('node:http').RequestListener}
 */
export function proxy(instances) {
  let next = 0
  return async (req, res) => {
    const chosen = instances.findIndex(({ name }) => name === req.headers['x-instance'])
    const first = chosen >= 0 ? chosen : next++ % instances.length
    try {
      const body = await buffer(req)
      for (let count = 0; count < instances.length; count++) {
        const instance = /** @type {Instance} */ (instances[(first + count) % instances.length])
        const answer = await ask(instance, req, body).catch((error) => {
          // Nobody listened, so nothing was sent; a GET changes nothing, and may be sent again in any case.
          if (error.code === 'ECONNREFUSED' || req.method === 'GET' || req.method === 'HEAD') return undefined
          throw error
        })
        if (answer === undefined) continue
        res.writeHead(answer.statusCode ?? 502, { ...passedOn(answer.headers), 'x-instance': instance.name })
        return await pipeline(answer, res)
      }
      throw new Error('no instance answers')
    } catch {
      if (res.headersSent) res.destroy()
      else res.writeHead(502, { 'content-type': 'text/plain' }).end('No instance answers.\n')
    }
  }
}

/**
 * @param {Instance} instance
 * @param {import('node:http').IncomingMessage} req
 * @param {Buffer} body
 * @returns {Promise<import('node:http').IncomingMessage>}
 */
function ask({ url }, req, body) {
  const headers = {
    ...passedOn(req.headers),
    'content-length': body.length,
    'x-forwarded-for': req.socket.remoteAddress,
    'x-forwarded-proto': 'http',
  }
  return new Promise((resolve, reject) => {
    const options = { agent, method: req.method ?? 'GET', path: req.url ?? '/', headers }
    const asked = request(url, options, resolve)
    asked.on('error', reject)
    asked.end(body)
  })
}

/** @param {import('node:http').IncomingHttpHeaders} headers */
function passedOn(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !ofOneHop.includes(name)))
}
