import { hkdfSync } from 'node:crypto'
import session from 'express-session'
import { Cluster, Redis } from 'ioredis'
import { createOrders } from './orders.js'
import { sessions } from './sign-in.js'

/** @typedef {Redis | Cluster} RedisClient */

/**
 * The shop's own connection, as the environment says; express-aat takes its address and opens others.
 * @param {NodeJS.ProcessEnv} env
 * @returns {RedisClient | undefined}
 */
export function connect({ REDIS_URL, REDIS_CLUSTER, REDIS_SENTINELS, REDIS_SENTINEL_NAME = 'mymaster' }) {
  const settings = { maxRetriesPerRequest: 1, connectTimeout: 2000, commandTimeout: 2000 }
  const redis = REDIS_CLUSTER
    ? new Cluster(addresses(REDIS_CLUSTER), { redisOptions: settings })
    : REDIS_SENTINELS
      ? new Redis({ sentinels: addresses(REDIS_SENTINELS), name: REDIS_SENTINEL_NAME, ...settings })
      : REDIS_URL
        ? new Redis(REDIS_URL, settings)
        : undefined
  // Each command says for itself that it failed, and /ready that Redis is away.
  redis?.on('error', () => undefined)
  return redis
}

/** @param {string} list `host:port,host:port` */
function addresses(list) {
  return list.split(',').map((address) => {
    const { hostname, port } = new URL(`redis://${address.trim()}`)
    return { host: hostname, port: Number(port || 6379) }
  })
}

/** Seconds that a session lasts without a request. */
const SESSION = 86_400

/**
 * Sessions of the shop's sign-in in Redis, so that any instance knows who is signed in, and a sign-out at one holds at all
 * (a cookie that carries the whole session could be used again after it). Five commands, so a store of our own:
 * connect-redis, the usual one, has not taken ioredis since version 9.
 */
class RedisSessions extends session.Store {
  /** @param {RedisClient} redis */
  constructor(redis) {
    super()
    this.redis = redis
  }

  /** @type {session.Store['get']} */
  get(id, done) {
    answer(
      this.redis.get(key(id)).then((text) => (text === null ? null : JSON.parse(text))),
      done,
    )
  }

  /** @type {session.Store['set']} */
  set(id, data, done) {
    answer(this.redis.set(key(id), JSON.stringify(data), 'EX', SESSION), done)
  }

  /** @type {session.Store['destroy']} */
  destroy(id, done) {
    answer(this.redis.del(key(id)), done)
  }

  /**
   * @override
   * @type {NonNullable<session.Store['touch']>}
   */
  touch(id, _data, done) {
    answer(this.redis.expire(key(id), SESSION), done)
  }
}

const key = (/** @type {string} */ id) => `shop:session:${id}`

/**
 * From promise to callback.
 * @param {Promise<any>} promise
 * @param {((error: any, result?: any) => void) | undefined} done
 */
function answer(promise, done = () => undefined) {
  promise.catch(away).then((result) => done(null, result), done)
}

/**
 * A Redis that cannot answer is no fault of the request: 503, and come back.
 * @param {unknown} cause
 * @returns {never}
 */
function away(cause) {
  throw Object.assign(new Error('Redis does not answer', { cause }), { status: 503 })
}

/**
 * What instances of the shop must share beside tokens and keys: who is signed in, and the orders. Without Redis, in memory.
 * @param {{ redis: RedisClient | undefined, secret: string | undefined, secure: boolean }} settings
 */
export function sharedParts({ redis, secret, secure }) {
  if (redis === undefined) return { sessions: sessions({ secure }), orders: createOrders() }
  return {
    sessions: sessions({
      secure,
      store: new RedisSessions(redis),
      // A key of its own for each purpose: what signs cookies says nothing of what seals signing keys.
      ...(secret && {
        secret: Buffer.from(hkdfSync('sha256', secret, '', 'shop session', 32)).toString('hex'),
      }),
    }),
    orders: createOrders({
      push: (entry) => redis.rpush('shop:orders', entry).catch(away),
      all: () => redis.lrange('shop:orders', 0, -1).catch(away),
    }),
  }
}
