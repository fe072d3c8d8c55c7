/** The endpoint that is written by hand, on Express. */

import express from 'express'
import { handWritten } from './hand-written.js'

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, ...context }) {
  const { grant, ...mounted } = await handWritten(context)
  app.post(mounted.path, express.urlencoded({ extended: false }), async (req, res) => {
    const { status, body } = await grant(req.headers.authorization, req.body)
    res.status(status).set('Cache-Control', 'no-store').json(body)
  })
  return mounted
}
