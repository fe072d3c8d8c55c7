import { sha256 } from '../protocol/digest.ts'
import { isObject } from '../protocol/encoding.ts'
import { inTime, TooLate } from '../protocol/hooks.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { readOutboundUrl } from '../protocol/outbound-url.ts'
import type { Clock } from '../protocol/time.ts'
import type { Client, DocumentStore } from '../stores/ports.ts'
import { cutMetadata, readDocumentClient } from './document-metadata.ts'
import { FetchFailure } from './fetch-failure.ts'
import { isAllowedRedirect } from './redirect-hosts.ts'
import type { Registrations } from './registrations.ts'
import type { RemoteDocuments, RemoteDocumentsOptions } from './remote-documents.ts'

/** The longest URL that is a client_id: it stands in tokens and in every record of a grant. */
const MAX_DOCUMENT_URL = 512

/** Seconds that the app may take to judge a document: all who come with the client wait for it, and those of their address behind them. */
const JUDGEMENT = 5

const TEN_YEARS = 10 * 365 * 86_400
/** What is kept under this says that the client is switched off. */
const offKey = (url: string) => sha256(`disabled ${url}`)

/** Whom the app trusts. */
export interface DocumentTrust {
  /** Hosts whose documents are taken, or all below one like `*.example.com`; absent: any host. */
  readonly hosts: readonly string[] | undefined
  /** Name of the registration policy of its clients. */
  readonly policy: string
  readonly trust: TrustDocument | undefined
}

/**
 * Judges a document that was fetched and is well-formed: false refuses its client, true takes it with the configured policy,
 * `policy` names another one. Asked each time that the document was fetched; it has 5 seconds.
 */
export type TrustDocument = (
  document: Readonly<Record<string, unknown>>,
  url: string,
) => boolean | { readonly policy: string } | Promise<boolean | { readonly policy: string }>

export interface DocumentClientsOptions extends DocumentTrust {
  readonly issuer: string
  /** Characters: what access tokens have room for. */
  readonly longestId: number
  readonly ports: readonly number[]
  readonly registrations: Registrations
  readonly documents: (
    options: Pick<RemoteDocumentsOptions<Client>, 'kind' | 'cut' | 'read' | 'check'>,
  ) => RemoteDocuments<Client>
  readonly store: DocumentStore
  readonly clock: Clock
}

/** Clients whose id is the URL of their metadata (draft-ietf-oauth-client-id-metadata-document). */
export function createDocumentClients({
  issuer,
  longestId,
  ports,
  registrations,
  hosts,
  policy: policyName,
  trust,
  documents: makeDocuments,
  store,
  clock,
}: DocumentClientsOptions) {
  const ownHost = new URL(issuer).hostname
  const documents = makeDocuments({
    kind: 'metadata',
    cut: cutMetadata,
    read,
    async check(url) {
      if ((await store.read(offKey(url))) !== undefined) throw new FetchFailure('refused', 'it is disabled')
    },
  })

  async function read(
    body: Readonly<Record<string, unknown>>,
    url: string,
    fetchedAt: number,
  ): Promise<Client> {
    const verdict: unknown =
      trust === undefined ? true : await judgement(trust, { client_id: url, ...body }, url)
    if (verdict === false) throw new FetchFailure('refused', 'trust refused it')
    const name = verdict === true ? policyName : isObject(verdict) ? verdict.policy : undefined
    if (typeof name !== 'string')
      throw new TypeError('clientMetadataDocuments.trust must return true, false or { policy }')
    return readDocumentClient(body, url, fetchedAt, registrations.policy(name))
  }

  /** Is this id the URL of a document that may be fetched? Nothing else ever leads to a connection. */
  function isDocumentId(id: string): boolean {
    const url = id.length <= Math.min(MAX_DOCUMENT_URL, longestId) ? readOutboundUrl(id, ports) : undefined
    return (
      url !== undefined &&
      !('problem' in url) &&
      url.path !== '/' &&
      !/\/?\?$/.test(url.path) &&
      // The server would wait for itself.
      url.host !== ownHost &&
      isAllowedRedirect(id, { redirectHosts: hosts })
    )
  }

  async function get(work: () => Promise<Client | undefined>): Promise<Client | undefined> {
    try {
      const client = await work()
      return client && registrations.inForce(client)
    } catch (error) {
      if (!(error instanceof FetchFailure)) throw error
      if (error.kind === 'refused') return undefined
      throw new OAuthError(
        'temporarily_unavailable',
        'the metadata document of the client cannot be had now',
        {
          cause: error.message,
          isFault: false,
          retryAfter: error.retryAfter ?? 5,
        },
      )
    }
  }

  return {
    isDocumentId,
    /** @throws OAuthError 503 where its host gives no answer, and no copy is left */
    find: (id: string, source?: string) => get(() => documents.get(id, source)),
    /** Its client by a newer document, where there is one. */
    renew: (id: string, source?: string) => get(() => documents.renew(id, source)),
    keep: documents.keep,
    forget: documents.forget,

    /** Switches a client off, or on again. Instances have to be told, and forget what they know of it. */
    async setDisabled(id: string, isOff: boolean): Promise<void> {
      const now = clock()
      if (isOff) await store.save(offKey(id), { body: {}, fetchedAt: now, freshUntil: now }, now + TEN_YEARS)
      else await store.delete(offKey(id))
      documents.forget(id)
    },
  }
}

export type DocumentClients = ReturnType<typeof createDocumentClients>

/** An app that does not judge in time is away, as a host may be: it is left alone for a moment, and what is known goes on. */
async function judgement(trust: TrustDocument, document: Readonly<Record<string, unknown>>, url: string) {
  try {
    return await inTime(trust(document, url), JUDGEMENT, 'clientMetadataDocuments.trust')
  } catch (error) {
    throw error instanceof TooLate ? new FetchFailure('unavailable', error.message, { cause: error }) : error
  }
}
