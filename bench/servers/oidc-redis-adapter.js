/**
 * The Redis adapter that node-oidc-provider's examples show, in its shape: hashes for what can be consumed, strings for
 * the rest, one list of keys for each grant.
 */

const CONSUMABLE = new Set([
  'AuthorizationCode',
  'RefreshToken',
  'DeviceCode',
  'BackchannelAuthenticationRequest',
])
const GRANTABLE = new Set([...CONSUMABLE, 'AccessToken'])

/** @param {import('ioredis').Redis} redis */
export function redisAdapter(redis) {
  /** @param {string} id */
  const grantKey = (id) => `oidc:grant:${id}`
  /** @param {string} uid */
  const uidKey = (uid) => `oidc:uid:${uid}`

  return class {
    /** @param {string} name */
    constructor(name) {
      this.name = name
    }

    /** @param {string} id @param {Record<string, any>} payload @param {number} expiresIn */
    async upsert(id, payload, expiresIn) {
      const key = this.key(id)
      const multi = redis.multi()
      if (CONSUMABLE.has(this.name)) multi.hset(key, { payload: JSON.stringify(payload) })
      else multi.set(key, JSON.stringify(payload))
      if (expiresIn) multi.expire(key, expiresIn)
      if (GRANTABLE.has(this.name) && payload.grantId) {
        const ofGrant = grantKey(payload.grantId)
        multi.rpush(ofGrant, key)
        const ttl = await redis.ttl(ofGrant)
        if (expiresIn > ttl) multi.expire(ofGrant, expiresIn)
      }
      if (payload.uid) {
        multi.set(uidKey(payload.uid), id)
        multi.expire(uidKey(payload.uid), expiresIn)
      }
      await multi.exec()
    }

    /** @param {string} id */
    async find(id) {
      if (!CONSUMABLE.has(this.name)) {
        const text = await redis.get(this.key(id))
        return text === null ? undefined : JSON.parse(text)
      }
      const { payload, ...rest } = await redis.hgetall(this.key(id))
      return payload === undefined ? undefined : { ...rest, ...JSON.parse(payload) }
    }

    /** @param {string} uid */
    async findByUid(uid) {
      const id = await redis.get(uidKey(uid))
      return id === null ? undefined : this.find(id)
    }

    /** @param {string} id */
    async destroy(id) {
      await redis.del(this.key(id))
    }

    /** @param {string} id */
    async revokeByGrantId(id) {
      const multi = redis.multi()
      for (const key of await redis.lrange(grantKey(id), 0, -1)) multi.del(key)
      multi.del(grantKey(id))
      await multi.exec()
    }

    /** @param {string} id */
    async consume(id) {
      await redis.hset(this.key(id), 'consumed', Math.floor(Date.now() / 1000))
    }

    /** @param {string} id */
    key(id) {
      return `oidc:${this.name}:${id}`
    }
  }
}
