/** A bare Express app. */

import express from 'express'

const app = express()
app.get('/', (_req, res) => void res.send('ok'))
app.listen(0, '127.0.0.1', () => process.send?.('listening'))
