import { assertionAlgorithms } from './clients/client-assertion.ts'
import { problemOfClientJwks } from './clients/client-jwks.ts'
import type { ClientJwks } from './clients/client-keys.ts'
import type { StatementIssuer } from './clients/software-statements.ts'
import { type Check, listOf, object, oneOf, optional, text, verified, whole } from './protocol/options.ts'
import { readOutboundUrl } from './protocol/outbound-url.ts'

/** One that vouches for software. */
export interface StatementIssuerOptions {
  /** The `iss` of its statements. */
  issuer: string
  /** Its public keys; or where they are published, on the public Internet. */
  jwks?: { keys: Record<string, unknown>[] }
  jwksUri?: string | undefined
  /** Default all that client assertions may have: asymmetric ones only. */
  algorithms?: (typeof assertionAlgorithms)[number][] | undefined
  /** Seconds from `iat` in which a statement may be used (default until its `exp`, if it has one). */
  maxAge?: number | undefined
}

const issuers = listOf(
  object({
    issuer: text({ max: 512 }),
    jwks: optional(verified<ClientJwks>(problemOfClientJwks)),
    jwksUri: optional(text()),
    algorithms: optional(listOf(oneOf(...assertionAlgorithms), { min: 1 }), [...assertionAlgorithms]),
    maxAge: optional(whole('seconds', 1, 2 ** 31)),
  }),
)

/** The `registration.softwareStatements` option. */
export const statementIssuersOption: Check<StatementIssuer[]> = (value, path, report) => {
  const read = value === undefined ? [] : issuers(value, path, report)
  if (new Set(read.map(({ issuer }) => issuer)).size !== read.length)
    report(`${path} must not have the same issuer twice`)
  for (const [index, { jwks, jwksUri }] of read.entries())
    if ((jwks === undefined) === (jwksUri === undefined))
      report(`${path}[${index}] must have either jwks or jwksUri`)
  return read
}

/** Reports a `jwksUri` that would never be fetched. */
export function checkStatementIssuers(
  issuers: readonly StatementIssuer[],
  outboundPorts: readonly number[],
  report: (problem: string) => void,
): void {
  for (const [index, { jwksUri }] of issuers.entries()) {
    const read = jwksUri === undefined ? {} : readOutboundUrl(jwksUri, outboundPorts)
    if ('problem' in read) report(`registration.softwareStatements[${index}].jwksUri ${read.problem}`)
  }
}
