import type { ClientRegistry } from './clients/client-registry.ts'
import { withNewSecret } from './clients/client-secrets.ts'
import { usesSecret } from './clients/self-describing-id.ts'
import type { ClientListQuery, ClientOperations, ClientSummary, SecretRotation } from './http/aat-clients.ts'
import type { Emit } from './protocol/events.ts'
import type { Random } from './protocol/random.ts'
import type { RevocationLog } from './revocation/revocation-log.ts'
import type { Client, ClientStore } from './stores/ports.ts'

interface ClientOperationsOptions {
  readonly store: ClientStore
  readonly registry: ClientRegistry
  readonly revocations: RevocationLog
  /** Seconds within which all instances know of a revocation. */
  readonly revocationBound: number
  readonly random: Random
  readonly emit: Emit
}

/** The most clients that one page looks through for a search. */
const MAX_LOOKED_AT = 5000
const YEAR = 365 * 86_400

/** `aat.clients`: what operators do with clients. */
export function createClientOperations({
  store,
  registry,
  revocations,
  revocationBound,
  random,
  emit,
}: ClientOperationsOptions): ClientOperations {
  async function look(clientId: string): Promise<Client | undefined> {
    const configured = registry.configured(clientId)
    if (configured !== undefined) return configured
    return (await registry.look(clientId))?.client ?? registry.find(clientId)
  }

  function listConfigured({ limit, cursor, search }: CheckedQuery) {
    const from = cursor === undefined ? 0 : /^\d{1,5}$/.test(cursor) ? Number(cursor) : Number.NaN
    if (Number.isNaN(from)) throw new TypeError('clients.list: cursor must be one that a page gave')
    const all = registry.allConfigured().filter((client) => matches(client, search))
    const end = from + limit
    return {
      clients: all.slice(from, end).map(summaryOf),
      cursor: end < all.length ? String(end) : undefined,
    }
  }

  async function listRegistered({ limit, search, ...query }: CheckedQuery) {
    const clients: ClientSummary[] = []
    let { cursor } = query
    for (let lookedAt = 0; lookedAt < MAX_LOOKED_AT && clients.length < limit; ) {
      const page = await store.list({ limit: Math.min(limit - clients.length, 100), cursor })
      for (const { client } of page.records) if (matches(client, search)) clients.push(summaryOf(client))
      cursor = page.cursor
      if (cursor === undefined) break
      lookedAt += 100
    }
    return { clients, cursor }
  }

  /** @returns what became of it, where it is one that can be switched */
  async function setDisabled(clientId: string, isOff: boolean): Promise<'done' | 'unknown' | 'configured'> {
    if (registry.configured(clientId) !== undefined) return 'configured'
    if (registry.isDocument(clientId)) {
      await registry.setDocumentDisabled(clientId, isOff)
      return 'done'
    }
    const changed = await registry.change(
      clientId,
      ({ disabledAt, ...client }, now) =>
        (disabledAt !== undefined) === isOff ? undefined : { ...client, ...(isOff && { disabledAt: now }) },
      { byOperator: true },
    )
    return changed === undefined ? 'unknown' : 'done'
  }

  return Object.freeze({
    async get(clientId: string) {
      const client = await look(clientId)
      return client && summaryOf(client)
    },

    async list(query: ClientListQuery = {}) {
      const checked = checkedQuery(query)
      return checked.origin === 'configuration' ? listConfigured(checked) : listRegistered(checked)
    },

    async delete(clientId: string) {
      if (registry.configured(clientId) !== undefined) return 'configured'
      if (registry.isDocument(clientId)) {
        // There is nothing to delete: whoever publishes it may come again.
        await revocations.revoke('client', clientId, 'client deletion')
        return 'unknown'
      }
      // First, and also where it was deleted before: a call may have failed half-way.
      await revocations.revoke('client', clientId, 'client deletion', { notAfter: 'ever' })
      return registry.delete(clientId)
    },

    async disable(clientId: string) {
      const outcome = await setDisabled(clientId, true)
      if (outcome !== 'done') return outcome
      // A little ahead: what instances that do not know of it yet still grant is over, too.
      await revocations.revoke('client', clientId, 'client disabled', { ahead: revocationBound })
      emit('client.disabled', { clientId })
      return 'disabled'
    },

    async enable(clientId: string) {
      const outcome = await setDisabled(clientId, false)
      if (outcome !== 'done') return outcome
      emit('client.enabled', { clientId })
      return 'enabled'
    },

    async rotateSecret(clientId: string, options: SecretRotation = {}) {
      const { overlap, expiresIn, revokeTokens } = checkedRotation(options)
      if (registry.configured(clientId) !== undefined) return 'configured'
      let secret: string | undefined
      let expiresAt: number | undefined
      const changed = await registry.change(
        clientId,
        (client, now) => {
          secret = undefined
          if (!usesSecret(client)) return undefined
          expiresAt = expiresIn === undefined ? undefined : now + expiresIn
          const rotated = withNewSecret(client, { now, overlap, expiresAt }, random)
          secret = rotated.secret
          return rotated.client
        },
        { byOperator: true },
      )
      if (changed === undefined) return 'unknown'
      if (secret === undefined) return 'no-secret'
      // A little ahead: instances that do not know of it yet still take the old secret.
      if (revokeTokens)
        await revocations.revoke('client', clientId, 'rotation of the secret', { ahead: revocationBound })
      emit('client.secret_rotated', { clientId, by: 'app' })
      return { clientSecret: secret, clientSecretExpiresAt: expiresAt }
    },
  } satisfies ClientOperations)
}

function summaryOf(client: Client): ClientSummary {
  const { id, name, origin, redirectUris, grantTypes, authenticationMethod, createdAt } = client
  const { policy, firstUsedAt, changedAt, disabledAt, secrets } = client
  return {
    clientId: id,
    name,
    origin,
    redirectUris,
    grantTypes,
    authenticationMethod,
    policy,
    createdAt,
    firstUsedAt,
    changedAt,
    disabledAt,
    secretExpiresAt: secrets[0]?.expiresAt,
  }
}

function matches(client: Client, search: string | undefined): boolean {
  if (search === undefined) return true
  const texts = [client.id, client.name, client.uri, client.softwareId, ...client.redirectUris]
  return texts.some((text) => text?.toLowerCase().includes(search))
}

interface CheckedQuery {
  readonly limit: number
  readonly cursor: string | undefined
  readonly origin: 'registered' | 'configuration'
  readonly search: string | undefined
}

function checkedQuery(query: ClientListQuery): CheckedQuery {
  const { limit = 100, cursor, origin = 'registered', search, ...others } = query
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new TypeError(`clients.list: there is no option ${unknown}`)
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > 1000)
    throw new TypeError('clients.list: limit must be a whole number from 1 to 1000')
  if (cursor !== undefined && typeof cursor !== 'string')
    throw new TypeError('clients.list: cursor must be one that a page gave')
  if (origin !== 'registered' && origin !== 'configuration')
    throw new TypeError("list: origin must be 'registered' or 'configuration'")
  if (search !== undefined && (typeof search !== 'string' || search === '' || search.length > 200))
    throw new TypeError('clients.list: search must be a text of 1 to 200 characters')
  return { limit, cursor, origin, search: search?.toLowerCase() }
}

function checkedRotation({ overlap = 0, expiresIn, revokeTokens = false, ...others }: SecretRotation) {
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new TypeError(`clients.rotateSecret: there is no option ${unknown}`)
  if (!Number.isFinite(overlap) || overlap < 0 || overlap > YEAR)
    throw new TypeError(`clients.rotateSecret: overlap must be from 0 to ${YEAR} seconds`)
  if (expiresIn !== undefined && (!Number.isFinite(expiresIn) || expiresIn < 1))
    throw new TypeError('clients.rotateSecret: expiresIn must be a number of seconds, at least 1')
  if (typeof revokeTokens !== 'boolean')
    throw new TypeError('clients.rotateSecret: revokeTokens must be true or false')
  return { overlap, expiresIn, revokeTokens }
}
