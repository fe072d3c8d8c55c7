import { describe } from '@jest/globals'
import { accessTokenStoreContract } from './access-token-store.contract.ts'
import { boundFamilyContract } from './bound-family.contract.ts'
import { clientStoreContract } from './client-store.contract.ts'
import { consentStoreContract } from './consent-store.contract.ts'
import type { StoresFactory } from './contract.ts'
import { counterStoreContract } from './counter-store.contract.ts'
import { documentStoreContract } from './document-store.contract.ts'
import { grantStoreContract } from './grant-store.contract.ts'
import { idpSessionContract } from './idp-session.contract.ts'
import { initialAccessTokenStoreContract } from './initial-access-token-store.contract.ts'
import { placeStoreContract } from './place-store.contract.ts'
import { replayStoreContract } from './replay-store.contract.ts'
import { requestStoreContract } from './request-store.contract.ts'
import { revocationStoreContract } from './revocation-store.contract.ts'
import { ringStoreContract } from './ring-store.contract.ts'

/** What any stores must do. */
export function everyContract(make: StoresFactory): void {
  describe('grants', () => grantStoreContract(make))
  describe('families that are bound to a key', () => boundFamilyContract(make))
  describe('sessions at identity providers', () => idpSessionContract(make))
  describe('clients', () => clientStoreContract(make))
  describe('pending requests', () => requestStoreContract(make))
  describe('consents', () => consentStoreContract(make))
  describe('replays', () => replayStoreContract(make))
  describe('revocations', () => revocationStoreContract(make))
  describe('the ring', () => ringStoreContract(make))
  describe('access tokens', () => accessTokenStoreContract(make))
  describe('documents', () => documentStoreContract(make))
  describe('initial access tokens', () => initialAccessTokenStoreContract(make))
  describe('places', () => placeStoreContract(make))
  describe('counters', () => counterStoreContract(make))
}
