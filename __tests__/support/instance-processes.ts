import { type ChildProcess, fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { AatOptions } from '../../lib/index.ts'
import type { RedisStoresOptions } from '../../lib/redis.ts'
import { isGone, reapAtExit } from './child-reaper.js'
import type { ClientOptions } from './redis-servers.ts'
import { CONFIDENTIAL, REDIRECT_URI } from './world.ts'

export interface ProcessSettings {
  redis: ClientOptions
  stores?: RedisStoresOptions
  aat?: Partial<Omit<AatOptions, 'stores' | 'clock'>>
  count?: number
  atRingWrite?: 'SIGKILL' | 'SIGSTOP'
  sleeps?: number
}

export const ISSUER = 'http://127.0.0.1:9'
export const SECRET = 'test-secret-0123456789-0123456789-0123456789'

/** What the processes' instances, and a world beside them, agree on. */
export const SHARED_OPTIONS = {
  issuer: ISSUER,
  secrets: [SECRET],
  resources: {
    [`${ISSUER}/api`]: {
      scopes: { a: 'Read your things', b: 'Change your things', c: 'Delete your things' },
      defaultScopes: ['a'],
    },
    [`${ISSUER}/other`]: { scopes: ['a', 'x'] },
  },
  defaultResource: `${ISSUER}/api`,
  clients: [
    {
      clientId: CONFIDENTIAL.id,
      clientSecret: CONFIDENTIAL.secret,
      name: 'Confidential',
      redirectUris: [REDIRECT_URI],
      grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
    },
  ],
} satisfies AatOptions

interface Waiting {
  resolve(result: unknown): void
  reject(error: Error): void
}

const running = new Set<InstanceProcess>()

/** A process with instances of its own; see instance-process.js for the verbs. */
export class InstanceProcess {
  readonly child: ChildProcess
  /** Resolved when the process reached `atRingWrite`. */
  readonly reached: Promise<void>
  readonly ended: Promise<void>
  readonly #waiting = new Map<number, Waiting>()
  #id = 0

  /** @param program instead of the one beside this file, for example of another build */
  constructor(program = join(import.meta.dirname, 'instance-process.js')) {
    if (!existsSync(join(import.meta.dirname, '../../dist/redis.js'))) throw new Error('run npm run build')
    this.child = fork(program, { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const { pid } = this.child
    if (pid === undefined) throw new Error('no process')
    reapAtExit(pid, '')
    running.add(this)
    this.ended = new Promise((resolve) => {
      this.child.once('exit', () => {
        isGone(pid)
        running.delete(this)
        for (const { reject } of this.#waiting.values()) reject(new Error('the process has ended'))
        resolve()
      })
    })
    this.reached = new Promise((resolve) => {
      this.child.on(
        'message',
        (message: { reached?: string; id: number; result?: unknown; error?: string }) => {
          if (message.reached !== undefined) return resolve()
          const waiting = this.#waiting.get(message.id)
          this.#waiting.delete(message.id)
          if (message.error === undefined) waiting?.resolve(message.result)
          else waiting?.reject(new Error(message.error))
        },
      )
    })
  }

  // biome-ignore lint/suspicious/noExplicitAny: each verb answers something else
  call(verb: string, argument?: unknown): Promise<any> {
    const id = ++this.#id
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.child.send({ id, verb, argument }, (error) => error !== null && reject(error))
    })
  }

  /** Starts instances in it; resolves with their ports, before they are ready. */
  start({ aat, ...settings }: ProcessSettings): Promise<number[]> {
    return this.call('start', { ...settings, aat: { ...SHARED_OPTIONS, ...aat } })
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }
}

/** Ends all that this test file started; for an afterEach or afterAll hook. */
export async function stopAllInstances(): Promise<void> {
  await Promise.all([...running].map((process) => process.kill()))
}
