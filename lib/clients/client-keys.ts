import { OAuthError } from '../protocol/oauth-error.ts'
import type { Client } from '../stores/ports.ts'
import { usableKeysOf } from './client-jwks.ts'
import type { DocumentClients } from './document-clients.ts'
import { FetchFailure } from './fetch-failure.ts'
import type { RemoteDocuments, RemoteDocumentsOptions } from './remote-documents.ts'

export type ClientJwks = NonNullable<Client['jwks']>

/** Whose keys they are: a client, or an issuer of software statements. */
export type KeyOwner = Pick<Client, 'id' | 'origin' | 'jwks' | 'jwksUri'> & {
  /** Where the request comes from that they are needed for; absent: from nobody outside. */
  readonly source?: string
}

export interface ClientKeysOptions {
  readonly documents: (
    options: Pick<RemoteDocumentsOptions<ClientJwks>, 'kind' | 'cut' | 'read'>,
  ) => RemoteDocuments<ClientJwks>
  readonly renewClient: DocumentClients['renew'] | undefined
}

/** The public keys of clients: those that they registered, or those at their `jwks_uri` (RFC 7591 §2). */
export function createClientKeys({ documents: makeDocuments, renewClient }: ClientKeysOptions) {
  const documents = makeDocuments({
    kind: 'jwks',
    cut(body) {
      const keys = usableKeysOf(body)
      if (keys.length === 0) throw new FetchFailure('refused', 'it has no usable key, or too many')
      return { keys }
    },
    read: (body) => body as unknown as ClientJwks,
  })

  async function fetched(work: () => Promise<ClientJwks | undefined>): Promise<ClientJwks | undefined> {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof FetchFailure)) throw error
      if (error.kind === 'refused') return undefined
      throw new OAuthError('temporarily_unavailable', 'the keys of the client cannot be had now', {
        cause: error.message,
        isFault: false,
        retryAfter: error.retryAfter ?? 5,
      })
    }
  }

  return {
    /** @throws OAuthError 503 where they cannot be had */
    async of({ jwks, jwksUri, source }: KeyOwner): Promise<ClientJwks | undefined> {
      return jwks ?? (jwksUri === undefined ? undefined : fetched(() => documents.get(jwksUri, source)))
    },

    /** Newer ones, for an assertion that none of them verifies; at a bounded rate, whoever sends such assertions. */
    async renewed({ id, origin, jwksUri, source }: KeyOwner): Promise<ClientJwks | undefined> {
      if (jwksUri !== undefined) return fetched(() => documents.renew(jwksUri, source))
      return origin === 'document' ? (await renewClient?.(id, source))?.jwks : undefined
    },

    /** Their client may act: somebody relies on them. */
    async keep({ jwksUri }: KeyOwner): Promise<void> {
      if (jwksUri !== undefined) await documents.keep(jwksUri)
    },
  }
}

export type ClientKeys = ReturnType<typeof createClientKeys>
