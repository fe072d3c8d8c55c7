import { BlockList, isIPv4, isIPv6 } from 'node:net'

/** IPv4 that is not one host of the public Internet: the registry of RFC 6890, with what its later entries added. */
const reserved4 = listOf('ipv4', [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private
  '100.64.0.0/10', // shared, behind carriers' NAT
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local, where clouds tell machines their credentials
  '172.16.0.0/12', // private
  '192.0.0.0/24', // protocol assignments
  '192.0.2.0/24', // documentation
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // private
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and broadcast
  '168.63.129.16/32', // no registry has it: the host of virtual machines in Azure, by a public address
])

/** The one block that global unicast IPv6 is from. All else is special, with every way of writing IPv4 and of NAT64 in it. */
const unicast6 = listOf('ipv6', ['2000::/3'])
/** What in that block is special all the same. */
const reserved6 = listOf('ipv6', [
  '2001::/23', // protocol assignments, with Teredo, benchmarks and ORCHID
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4, which has an IPv4 address in it
  '2620:4f:8000::/48', // AS112
  '3fff::/20', // documentation
])

/**
 * Is this text the address of a host on the public Internet, and of nothing else? Any other (loopback, private, link-local,
 * multicast, one that wraps another, with a zone, or no address at all) must not be connected to for a stranger.
 */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !reserved4.check(address, 'ipv4')
  if (!isIPv6(address) || address.includes('%')) return false
  return unicast6.check(address, 'ipv6') && !reserved6.check(address, 'ipv6')
}

function listOf(family: 'ipv4' | 'ipv6', subnets: readonly string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [network = '', bits] = subnet.split('/')
    list.addSubnet(network, Number(bits), family)
  }
  return list
}
