/** Copies the Redis scripts beside the code that reads them: the compiler moves TypeScript only. */

import { cpSync } from 'node:fs'

const from = new URL('../lib/stores/redis/scripts/', import.meta.url)
const to = new URL('../dist/stores/redis/scripts/', import.meta.url)
cpSync(from, to, { recursive: true })
