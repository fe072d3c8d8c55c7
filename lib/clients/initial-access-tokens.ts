import { sameHash, sha256 } from '../protocol/digest.ts'
import type { Emit } from '../protocol/events.ts'
import { optional, readOptions, suggestion, text, whole } from '../protocol/options.ts'
import { type Random, randomId } from '../protocol/random.ts'
import type { Clock } from '../protocol/time.ts'
import type { InitialAccessTokenState, InitialAccessTokenStore } from '../stores/ports.ts'
import { tokenFormat } from '../tokens/token-format.ts'
import { DEFAULT_POLICY } from './registration-policy.ts'
import type { Registrations } from './registrations.ts'

export interface NewInitialAccessToken {
  /** Name of the registration policy that its clients are judged by (default `default`). */
  policy?: string | undefined
  /** How many clients it may register (default 1, at most 10,000). */
  uses?: number | undefined
  /** Seconds that it lives (default 86,400 = 24 h, at most 31,536,000 = a year). */
  lifetime?: number | undefined
  /** What operators call it; at most 200 characters. */
  label?: string | undefined
}

/** An initial access token, without anything secret. */
export type InitialAccessTokenSummary = Omit<InitialAccessTokenState, 'hash'>

/** 16 bytes of id, by which it is found, and 32 of secret. */
const ID_BYTES = 16
const SECRET_BYTES = 32
const format = tokenFormat('aat_iat_', ID_BYTES + SECRET_BYTES)

interface InitialAccessTokensOptions {
  readonly store: InitialAccessTokenStore
  readonly policies: Registrations['policies']
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
}

/** Tokens that let their holder register clients (RFC 7591 §1.2): made by the app, counted by the store. */
export function createInitialAccessTokens({
  store,
  policies,
  clock,
  random,
  emit,
}: InitialAccessTokensOptions) {
  const summaryOf = ({ hash: _hash, ...summary }: InitialAccessTokenState): InitialAccessTokenSummary =>
    summary

  const operations = Object.freeze({
    async create(options: NewInitialAccessToken = {}) {
      const { policy, uses, lifetime, label } = readOptions(
        'initialAccessTokens.create',
        options,
        {
          policy: optional(text({ max: 32 }), DEFAULT_POLICY),
          uses: optional(whole('uses', 1, 10_000), 1),
          lifetime: optional(whole('seconds', 1, 31_536_000), 86_400),
          label: optional(text({ max: 200 })),
        },
        (read, report) => {
          const names = [...policies.keys()]
          if (!names.includes(read.policy))
            report(`policy is not one of registration.policies${suggestion(read.policy, names)}`)
        },
      )
      const [idBytes, secret] = [random(ID_BYTES), random(SECRET_BYTES)]
      const token = format.write(Buffer.concat([idBytes, secret]))
      const now = clock()
      const state = {
        id: idBytes.toString('base64url'),
        policy,
        ...(label !== undefined && { label }),
        uses,
        createdAt: now,
        expiresAt: Math.floor(now) + lifetime,
      }
      if ((await store.create({ ...state, hash: sha256(token) })) === 'full')
        throw new Error('initialAccessTokens.create: there are too many; revoke some first')
      const { id, expiresAt } = state
      emit('initial_access_token.created', { id, policy, uses, expiresAt })
      return { ...state, used: 0, token }
    },

    async list(page: Parameters<InitialAccessTokenStore['list']>[0] = {}) {
      const { tokens, cursor } = await store.list(page)
      return { tokens: tokens.map(summaryOf), cursor }
    },

    async revoke(id: string): Promise<'revoked' | 'unknown'> {
      const outcome = await store.revoke(id)
      if (outcome === 'revoked') emit('initial_access_token.revoked', { id })
      return outcome
    },
  })

  return {
    /** `aat.initialAccessTokens`. */
    operations,

    isOne: (presented: string): boolean => presented.startsWith('aat_iat_'),

    /** The token that was presented, where it is known and not all used; costs one read for one of its form. */
    async find(presented: string): Promise<InitialAccessTokenSummary | undefined> {
      const id = format.read(presented)?.toString('base64url', 0, ID_BYTES)
      const state = id === undefined ? undefined : await store.read(id)
      if (state === undefined || !sameHash(state.hash, sha256(presented)) || state.used >= state.uses)
        return undefined
      return summaryOf(state)
    },

    /**
     * Takes one use.
     * @returns what gives it back, or `undefined` where none was left
     */
    async take(id: string): Promise<(() => Promise<void>) | undefined> {
      const taking = randomId(random)
      if ((await store.take(id, taking)) !== 'taken') return undefined
      return async () => void (await store.giveBack(id, taking))
    },
  }
}

export type InitialAccessTokens = ReturnType<typeof createInitialAccessTokens>
