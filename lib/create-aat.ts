import type { AatOptions } from './aat-options.ts'
import { createAuthorize } from './authorization/authorize.ts'
import { createIdpSessionCheck } from './authorization/idp-session-check.ts'
import { createIdpSessions } from './authorization/idp-sessions.ts'
import { createPendingRequests } from './authorization/pending-requests.ts'
import { startBackground } from './background.ts'
import { createClientOperations } from './client-operations.ts'
import { createClientParts } from './client-parts.ts'
import { readConfiguration } from './configuration.ts'
import type { GrantTypeOptions } from './grants/grant-type.ts'
import { grantTypesOf } from './grants/grant-types.ts'
import { createHealth } from './health.ts'
import { type Aat, attachParts } from './http/aat.ts'
import { createKeyRing } from './keys/key-ring.ts'
import { createOperations } from './operations.ts'
import { createOwnVerifier } from './own-verifier.ts'
import { createEventHub, warnOfConfiguration } from './protocol/events.ts'
import { randomId } from './protocol/random.ts'
import { matchesRedirectUri } from './protocol/redirect-uri.ts'
import { createEndGrant } from './revocation/end-grant.ts'
import { createRevocationLog } from './revocation/revocation-log.ts'
import { createRevoke } from './revoke.ts'
import { authorizationCodes } from './tokens/authorization-code.ts'
import { createMint } from './tokens/mint.ts'
import { refreshTokens as refreshTokensOf } from './tokens/refresh-token.ts'
import { warnOfUnheardFaults } from './unheard-faults.ts'

/**
 * Makes the authorization server that endpoints and guards share. Synchronous, so a CommonJS app can call it too; the first
 * signing key is made in the background, and `ready()` waits for it.
 * @throws ConfigurationError at once, listing everything that is wrong with the options and what would be right
 */
export function createAat(options: AatOptions): Aat {
  const configuration = readConfiguration(options)
  const { issuer, stores, secrets, clock, monotonic, random, resources, ringTimes } = configuration
  const hub = createEventHub(clock)
  const emit = warnOfUnheardFaults(hub, clock)
  // Once the app had its turn to listen.
  queueMicrotask(() => {
    for (const message of configuration.warnings) warnOfConfiguration(emit, message)
  })
  const longestAccessToken = ringTimes.longestToken

  const keyRing = createKeyRing({
    store: stores.ring,
    issuer,
    alg: configuration.alg,
    rsaBits: configuration.rsaBits,
    times: ringTimes,
    secrets,
    clock,
    random,
    emit,
  })
  // Codes too: what was granted before a revocation must not be redeemed after the entry is forgotten.
  const revocations = createRevocationLog({
    store: stores.revocations,
    clock,
    monotonic,
    emit,
    endFamily: (grantId) => stores.grants.end(grantId, 'revoked'),
    lives: {
      longestToken: Math.max(longestAccessToken, configuration.codeLifetime),
      longestRefresh: configuration.longestRefresh,
      longestIdpSession: configuration.idpSessions.longest,
    },
    staleAfter: configuration.revocationStaleAfter,
  })
  const endGrant = createEndGrant(stores.grants, revocations)
  const clients = createClientParts(configuration, revocations, emit)
  const { registry } = clients
  const health = createHealth({
    stores,
    keyRing,
    revocations,
    emit,
    monotonic,
    self: { id: randomId(random, 9), settings: configuration.fingerprint },
  })
  const codes = authorizationCodes(secrets, random)
  const refreshTokens = refreshTokensOf(secrets)
  const { refreshPolicyOf, refreshGrace, hooks } = configuration
  const {
    checkIdpSession,
    checkTimeout,
    whenUnanswered,
    longest: longestIdpSession,
  } = configuration.idpSessions
  const idpSessions = createIdpSessions({ revocations, clock, emit, longest: longestIdpSession })
  const verifier = createOwnVerifier(configuration, keyRing, revocations)
  const rooms: GrantTypeOptions = {
    grants: stores.grants,
    codes,
    refreshTokens,
    signer: keyRing.signer,
    mint: createMint(issuer, clock, random, verifier),
    resources,
    revocations,
    endGrant,
    random,
    emit,
    refreshPolicyOf,
    refreshGrace,
    hooks,
    mayRedirect: ({ redirectUris }, uri) =>
      redirectUris.some((registered) => matchesRedirectUri(registered, uri, configuration.localhostAnyPort)),
    checkIdpSession:
      checkIdpSession &&
      createIdpSessionCheck({ checkIdpSession, checkTimeout, whenUnanswered, idpSessions, emit }),
  }

  const background = startBackground({ keyRing, revocations, health }, configuration.every)
  const { revoke, denyList } = createRevoke({ stores, revocations, endGrant, clock })
  const operations = createOperations({
    stores,
    registry,
    revocations,
    idpSessions,
    refreshPolicyOf,
    clock,
  })

  const aat: Aat = Object.freeze({
    issuer,
    ready: background.ready,
    health: health.report,
    async close() {
      background.stop()
      revocations.close()
      await stores.close?.()
    },
    on: hub.on as Aat['on'],
    revoke,
    denyList: denyList.ofApp,
    keys: Object.freeze({
      rotate: keyRing.rotate,
      async revoke(kid: string) {
        const outcome = await keyRing.revoke(kid)
        if (outcome === 'revoked') await revocations.revoke('kid', kid, 'the app')
        return outcome
      },
      status: keyRing.status,
    }),
    ...operations,
    clients: createClientOperations({
      store: stores.clients,
      registry,
      revocations,
      revocationBound: configuration.revocationStaleAfter,
      random,
      emit,
    }),
    initialAccessTokens: clients.registrations.initialAccessTokens.operations,
    idpSessions: Object.freeze({
      update: idpSessions.update,
      end: (target: Parameters<Aat['idpSessions']['end']>[0]) => idpSessions.end(target),
    }),
  })

  attachParts(aat, {
    issuer,
    endpoints: configuration.endpoints,
    mounted: new Set(),
    resources,
    clock,
    random,
    emit,
    stores,
    keyRing,
    jwksMaxAge: ringTimes.jwksMaxAge,
    revocations,
    endGrant,
    denyList,
    ...clients,
    authorizationRules: {
      resources,
      localhostAnyPort: configuration.localhostAnyPort,
      privateUseSchemes: configuration.privateUseSchemes,
    },
    pendingRequests: createPendingRequests({
      store: stores.requests,
      clock,
      random,
      keys: secrets,
      lifetime: configuration.authorizationLifetime,
    }),
    authorize: createAuthorize({
      stores,
      codes,
      clock,
      emit,
      codeLifetime: configuration.codeLifetime,
      refreshLifetimeOf: (client) =>
        client.grantTypes.includes('refresh_token') ? refreshPolicyOf(client).lifetime : undefined,
      keepClient: registry.keep,
      findClient: registry.find,
      consentLifetime: configuration.consentLifetime,
      idpSessions,
    }),
    grantTypes: grantTypesOf(rooms),
    refreshTokens,
    dpop: configuration.dpop,
    verifier,
    readCertificate: configuration.readCertificate,
    refreshPolicyOf,
    idpSessions,
    longestIdpSession,
    clockTolerance: configuration.clockTolerance,
    longestAccessToken,
    corsOrigins: configuration.corsOrigins,
  })
  return aat
}
