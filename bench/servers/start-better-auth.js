/** better-auth with its OAuth provider in a bare Express app, in memory. */

import express from 'express'
import { mount } from './register-better-auth.js'

const app = express()
await mount(/** @type {any} */ ({ app, url: 'http://127.0.0.1:3000' }))
app.get('/', (_req, res) => void res.send('ok'))
app.listen(0, '127.0.0.1', () => process.send?.('listening'))
