import { decodeUtf8, parseJsonObject } from '../protocol/encoding.ts'
import { inTime } from '../protocol/hooks.ts'
import { problemOfPublishedUrl, wellKnownUrl } from '../protocol/resource-uri.ts'

/** The network, as `fetch`. */
export type Fetch = typeof globalThis.fetch

const MAX_BYTES = 64 * 1024

/** For what the metadata does not tell. */
const remedies = {
  jwks_uri: 'set jwksUri',
  introspection_endpoint: 'mount introspectionEndpoint(aat) there, or set introspection.endpoint',
}

interface IssuerDocument {
  readonly body: Record<string, unknown>
  /** Seconds that are left of the `max-age` of `Cache-Control` (RFC 9111 §4.2); 0 where it says that nothing may be kept. */
  readonly maxAge: number | undefined
}

/** Public documents of an issuer elsewhere. @param timeout seconds that a fetch may take */
export function issuerDocuments(issuer: string, fetch: Fetch, timeout: number) {
  async function load(url: string): Promise<IssuerDocument> {
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.timeout(timeout * 1000),
      headers: { accept: 'application/json, application/jwk-set+json' },
    })
    if (!response.ok) throw new Error(`${url} answered ${response.status}`)
    const body = parseJsonObject(decodeUtf8(await readBounded(response.body ?? [], url)) ?? '')
    if (body === undefined) throw new Error(`${url} is not a JSON object`)
    const control = response.headers.get('cache-control')?.toLowerCase() ?? ''
    if (/(?:^|[\s,])no-(?:store|cache)(?:[\s,]|$)/.test(control)) return { body, maxAge: 0 }
    const maxAge = /(?:^|[\s,])max-age=(\d{1,8})/.exec(control)?.[1]
    const age = Number(/^\d{1,8}$/.exec(response.headers.get('age') ?? '')?.[0] ?? 0)
    return { body, maxAge: maxAge === undefined ? undefined : Math.max(0, Number(maxAge) - age) }
  }

  /** In time also where the app's own `fetch` knows no signal. @throws Error where there is no such JSON object */
  const fetchJson = (url: string) => inTime(load(url), timeout, url)

  return {
    fetchJson,

    /** A URL that the issuer's metadata (RFC 8414) tells. @throws Error where it tells none that may be asked */
    async published(name: keyof typeof remedies): Promise<string> {
      // RFC 8414 §3.1: without the slash that some issuers end with.
      const url = wellKnownUrl(issuer.replace(/\/$/, ''), 'oauth-authorization-server')
      const { body } = await fetchJson(url)
      // RFC 8414 §3.3: the document must be about the issuer that was asked for.
      if (body.issuer !== issuer) throw new Error(`${url} is about another issuer`)
      if (body[name] === undefined)
        throw new Error(`the issuer publishes no ${name} in ${url}: ${remedies[name]}`)
      const problem = problemOfPublishedUrl(body[name])
      if (problem !== undefined) throw new Error(`${name} of ${url} ${problem}`)
      return body[name] as string
    },
  }
}

export type IssuerDocuments = ReturnType<typeof issuerDocuments>

/** All of a body. @throws Error where it is too long */
export async function readBounded(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  what: string,
): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > MAX_BYTES) throw new Error(`${what} is over ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
