// Connections through an HTTP proxy, loaded if one is set.
import type { ClientRequest } from 'node:http';
import type { SecureContext } from 'node:tls';
import { HttpProxyAgent } from 'http-proxy-agent';
import { HttpsProxyAgent } from 'https-proxy-agent';

export interface ProxyOptions {
  keepAlive: boolean;
  maxSockets: number;
  /** Who is trusted, the proxy and the server behind it. */
  secureContext?: SecureContext;
}

/** NOTE: the package gives its own TLS options to the proxy alone. */
class TunnelAgent extends HttpsProxyAgent<string> {
  readonly #trust: Pick<ProxyOptions, 'secureContext'>;

  constructor(proxy: URL, { secureContext, ...options }: ProxyOptions) {
    const trust = secureContext === undefined ? {} : { secureContext };
    super(proxy, { ...options, ...trust });
    this.#trust = trust;
  }

  override connect(
    request: ClientRequest,
    options: Parameters<HttpsProxyAgent<string>['connect']>[1],
  ): ReturnType<HttpsProxyAgent<string>['connect']> {
    return super.connect(request, { ...options, ...this.#trust });
  }
}

export function proxyAgents(proxy: URL, options: ProxyOptions) {
  return { http: new HttpProxyAgent(proxy, options), https: new TunnelAgent(proxy, options) };
}
