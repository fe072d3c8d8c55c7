import { createPrivateKey, generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto'

/** @param {number} tag @param {...Uint8Array} parts */
function der(tag, ...parts) {
  const body = Buffer.concat(parts)
  const { length } = body
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), body])
}

const sequence = (/** @type {Uint8Array[]} */ ...parts) => der(0x30, ...parts)
/** @param {Date} date */
const time = (date) => der(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]|\.\d+/g, '')}`))
/** sha256WithRSAEncryption (RFC 8017 appendix A.2.4), with NULL parameters. */
const sha256WithRsa = sequence(der(0x06, Buffer.from('2a864886f70d01010b', 'hex')), der(0x05))

/**
 * A key pair and a certificate that it signed for itself (RFC 5280 §4.1), which is all that SAML wants of one: a wrapping for a
 * public key. Node makes keys, but no certificates.
 * @param {string} name
 * @returns {{ privateKey: string, certificate: string }} both PEM
 */
export function makeCertificate(name) {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  // One relative distinguished name: commonName, UTF8String.
  const subject = sequence(
    der(0x31, sequence(der(0x06, Buffer.from('550403', 'hex')), der(0x0c, Buffer.from(name)))),
  )
  const now = Date.now()
  const years = 10 * 365 * 24 * 3600 * 1000
  const serial = Buffer.concat([Buffer.from([0x01]), randomBytes(15)])
  const content = sequence(
    // Version 3 and a serial number.
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    sha256WithRsa,
    subject,
    sequence(time(new Date(now - 24 * 3600 * 1000)), time(new Date(now + years))),
    subject,
    publicKey,
  )
  const signature = sign('sha256', content, createPrivateKey(privateKey))
  const bytes = sequence(content, sha256WithRsa, der(0x03, Buffer.from([0]), signature))
  return { privateKey, certificate: new X509Certificate(bytes).toString() }
}
