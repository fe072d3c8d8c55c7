import { createServer } from 'node:http'
import { createShop } from './app.js'

const {
  REDIS_URL,
  HOST = '127.0.0.1',
  PORT = '3000',
  ISSUER,
  AAT_SECRET,
  SHOP_BACKEND_SECRET,
  NODE_ENV,
} = process.env

if (REDIS_URL)
  stop('REDIS_URL is set, but Redis stores come with the next release: unset it to run on in-memory stores.')
if (!/^\d{1,5}$/.test(PORT)) stop(`PORT must be a number, not ${JSON.stringify(PORT)}.`)
if (ISSUER && (!URL.canParse(ISSUER) || new URL(ISSUER).href !== `${new URL(ISSUER).origin}/`))
  stop('ISSUER must be the origin of this shop, like https://shop.example.com, without a path.')

const server = createServer()
server.on('error', (error) => stop(error.message))
server.listen(Number(PORT), HOST, async () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  const issuer = ISSUER ? new URL(ISSUER).origin : `http://127.0.0.1:${port}`
  try {
    const { app, aat } = createShop({
      issuer,
      ...(AAT_SECRET && { secret: AAT_SECRET }),
      ...(SHOP_BACKEND_SECRET && { backendSecret: SHOP_BACKEND_SECRET }),
      demo: NODE_ENV !== 'production',
    })
    server.on('request', app)
    for (const signal of ['SIGTERM', 'SIGINT'])
      process.once(signal, () => {
        server.close()
        server.closeIdleConnections()
        setTimeout(() => server.closeAllConnections(), 2000).unref()
        aat.close()
      })
    await aat.ready()
    const listening = `http://${HOST.includes(':') ? `[${HOST}]` : HOST}:${port}`
    console.log(`Listening on ${listening}${listening === issuer ? '' : ` for ${issuer}`}`)
  } catch (error) {
    stop(error instanceof Error ? error.message : String(error))
  }
})

/**
 * @param {string} reason
 * @returns {never}
 */
function stop(reason) {
  console.error(reason)
  process.exit(1)
}
