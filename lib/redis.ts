export { type RedisStoresOptions, redisStores } from './stores/redis/redis-stores.ts'
