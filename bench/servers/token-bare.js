/** The endpoint that is written by hand, on node:http alone. */

import { parse } from 'node:querystring'
import { handWritten } from './hand-written.js'

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount(context) {
  const { grant, ...mounted } = await handWritten(context)
  return {
    ...mounted,
    listener(req, res) {
      let text = ''
      req.setEncoding('utf8')
      req.on('data', (chunk) => {
        text += chunk
      })
      req.on('end', async () => {
        const { status, body } = await grant(req.headers.authorization, parse(text))
        const json = JSON.stringify(body)
        const headers = { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' }
        res.writeHead(status, { ...headers, 'Content-Length': json.length }).end(json)
      })
    },
  }
}
