import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { createShop } from './app.js'
import { connect } from './on-redis.js'

/** Instances on one Redis need one secret, and so does the next start: this one, as long as it is for trying out. */
const DEMO_SECRET = 'demo-secret-of-the-shop-not-for-production'
/** Milliseconds that requests have for finishing when the process is told to stop. */
const PATIENCE = 10_000

const {
  HOST = '127.0.0.1',
  PORT = '3000',
  ISSUER,
  AAT_SECRET,
  SHOP_BACKEND_SECRET,
  SHOP_INSTANCES,
  IDP,
  IDP_PORT = '0',
  NODE_ENV,
} = process.env

if (!/^\d{1,5}$/.test(PORT)) stop(`PORT must be a number, not ${JSON.stringify(PORT)}.`)
if (!/^\d{1,5}$/.test(IDP_PORT)) stop(`IDP_PORT must be a number, not ${JSON.stringify(IDP_PORT)}.`)
if (ISSUER && (!URL.canParse(ISSUER) || new URL(ISSUER).href !== `${new URL(ISSUER).origin}/`))
  stop('ISSUER must be the origin of this shop, like https://shop.example.com, without a path.')

const redis = connectOrStop()
const secret = AAT_SECRET || (redis && NODE_ENV !== 'production' ? DEMO_SECRET : undefined)

const server = createServer()
server.on('error', (error) => stop(error.message))
server.listen(Number(PORT), HOST, async () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  const issuer = ISSUER ? new URL(ISSUER).origin : `http://127.0.0.1:${port}`
  try {
    const idp = IDP ? await startIdp(IDP, issuer) : undefined
    const { app, aat } = createShop({
      issuer,
      ...(secret && { secret }),
      ...(SHOP_BACKEND_SECRET && { backendSecret: SHOP_BACKEND_SECRET }),
      ...(redis && { redis }),
      ...(idp && { idp: idp.signIn }),
      demo: NODE_ENV !== 'production',
      instances: (NODE_ENV !== 'production' && SHOP_INSTANCES?.split(',')) || [],
    })
    server.on('request', app)
    for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => void shutDown(aat, idp))
    await aat.ready()
    const listening = `http://${HOST.includes(':') ? `[${HOST}]` : HOST}:${port}`
    if (idp) console.log(`Identity provider (${idp.name}) on ${idp.url}`)
    console.log(`Listening on ${listening}${listening === issuer ? '' : ` for ${issuer}`}`)
  } catch (error) {
    stop(error instanceof Error ? error.message : String(error))
  }
})

/**
 * Takes nothing new, finishes what is under way, and only then lets go of what that needs.
 * @param {import('express-aat').Aat} aat
 * @param {{ close: () => Promise<void> } | undefined} idp
 */
async function shutDown(aat, idp) {
  const closed = new Promise((resolve) => server.close(resolve))
  // A connection that is kept alive is idle once its request is done.
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  await Promise.race([closed, sleep(PATIENCE)])
  clearInterval(idle)
  server.closeAllConnections()
  await aat.close()
  redis?.disconnect()
  await idp?.close()
  process.exit(0)
}

/**
 * @param {string} kind
 * @param {string} issuer
 */
async function startIdp(kind, issuer) {
  if (NODE_ENV === 'production')
    return stop('IDP starts a provider for trying out, which is not for production.')
  const example = await import('./idp/single-sign-on.js')
  return example.startIdp(kind, issuer, { port: Number(IDP_PORT) })
}

function connectOrStop() {
  try {
    return connect(process.env)
  } catch (error) {
    return stop(`The address of Redis cannot be read: ${error instanceof Error ? error.message : error}.`)
  }
}

/**
 * @param {string} reason
 * @returns {never}
 */
function stop(reason) {
  console.error(reason)
  process.exit(1)
}
