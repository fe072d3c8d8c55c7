import type { TrustDocument } from './clients/document-clients.ts'
import { type Network, systemNetwork } from './clients/network.ts'
import { problemOfRedirectHost } from './clients/redirect-hosts.ts'
import { DEFAULT_POLICY } from './clients/registration-policy.ts'
import {
  type Check,
  callback,
  either,
  flag,
  listOf,
  object,
  optional,
  optionalObject,
  text,
  verified,
  whole,
} from './protocol/options.ts'

/** Clients whose client_id is the https URL of their metadata (draft-ietf-oauth-client-id-metadata-document). */
export interface ClientMetadataDocumentOptions {
  /** Hosts whose documents are taken, like `app.example.com`, or all below one, like `*.example.com` (default any). */
  hosts?: string[] | undefined
  /** Name of the registration policy of such clients (default `default`). */
  policy?: string | undefined
  /** Judges a document: false refuses its client, true takes it, `{ policy }` takes it with another policy than the configured one. */
  trust?: TrustDocument | undefined
}

/** How what strangers publish is fetched: metadata documents of clients, and the JWK Set at their `jwks_uri`. */
export interface OutboundOptions {
  /** Ports beside 443 that their URLs may have (default none). */
  ports?: number[] | undefined
  /** Seconds: the longest that a document is used without asking again, whatever its headers say (default 86,400; 60 to 604,800). */
  longestCache?: number | undefined
  /** Seconds after its fetch for which a document is used while its host cannot be reached (default 86,400; 0 to 2,592,000). */
  staleWhileAway?: number | undefined
  /** The network: for tests, and for a way out through a proxy. Default the machine's. */
  network?: Network | undefined
}

const DAY = 86_400

const documents = object({
  hosts: optional(listOf(verified<string>(problemOfHost), { min: 1, max: 1000 })),
  policy: optional(text({ max: 32 }), DEFAULT_POLICY),
  trust: optional(callback<TrustDocument>()),
})

/** `true`: with the defaults; `false` or left out: there are no such clients. */
export const clientMetadataDocumentsOption: Check<ReturnType<typeof documents> | undefined> = (
  value,
  path,
  report,
) => {
  const read = either((given) => typeof given === 'boolean', flag, documents)(value ?? false, path, report)
  if (typeof read !== 'boolean') return read
  return read ? documents({}, path, report) : undefined
}

/** The `outbound` option. */
export const outboundOption = optionalObject({
  ports: optional(listOf(whole('port', 1, 65_535)), []),
  longestCache: optional(whole('seconds', 60, 7 * DAY), DAY),
  staleWhileAway: optional(whole('seconds', 0, 30 * DAY), DAY),
  network: optional(
    verified<Network>((value) =>
      (['resolve', 'connect', 'after'] as const).every(
        (verb) => typeof (value as Network | null)?.[verb] === 'function',
      )
        ? undefined
        : 'must have resolve, connect and after',
    ),
    systemNetwork,
  ),
})

function problemOfHost(value: unknown): string | undefined {
  const isHost = problemOfRedirectHost(value) === undefined && /^[^:]*\.[^:]*(?::\d+)?$/.test(value as string)
  return isHost ? undefined : 'must be a lower-case host like app.example.com or *.example.com'
}
