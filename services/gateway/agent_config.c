/* The settings that clients of Nomad may look for in /v1/agent/self, all with their empty values:
 * most are of things that Norn does not have or does in another way. agent.c fills in the others.
 */
#include "agent_config.h"
#include <stddef.h>

const struct agent_section agent_sections[] = {
    {"ACL", "{\"Enabled\":false,\"PolicyTTL\":0,\"ReplicationToken\":\"\",\"TokenTTL\":0}"},
    {"Addresses", "{\"HTTP\":\"\",\"RPC\":\"\",\"Serf\":\"\"}"},
    {"AdvertiseAddrs", "{\"HTTP\":\"\",\"RPC\":\"\",\"Serf\":\"\"}"},
    {"Audit", "{\"Enabled\":null,\"Filters\":null,\"Sinks\":null}"},
    {"Autopilot", "{\"CleanupDeadServers\":null,\"DisableUpgradeMigration\":null,"
                  "\"EnableCustomUpgrades\":null,\"EnableRedundancyZones\":null,"
                  "\"LastContactThreshold\":0,\"MaxTrailingLogs\":0,\"MinQuorum\":0,"
                  "\"ServerStabilizationTime\":0}"},
    {"BindAddr", "\"\""},
    {"Client", "{\"AllocDir\":\"\",\"BindWildcardDefaultHostNetwork\":false,"
               "\"BridgeNetworkName\":\"\",\"BridgeNetworkSubnet\":\"\",\"CNIConfigDir\":\"\","
               "\"CNIPath\":\"\",\"CgroupParent\":\"\",\"ChrootEnv\":{},\"ClientMaxPort\":0,"
               "\"ClientMinPort\":0,\"CpuCompute\":0,\"DisableRemoteExec\":false,"
               "\"Enabled\":false,\"GCDiskUsageThreshold\":0.0,"
               "\"GCInodeUsageThreshold\":0.0,\"GCInterval\":0,\"GCMaxAllocs\":0,"
               "\"GCParallelDestroys\":0,\"HostNetworks\":null,\"HostVolumes\":[],"
               "\"MaxKillTimeout\":\"\",\"MemoryMB\":0,\"Meta\":{},\"NetworkInterface\":\"\","
               "\"NetworkSpeed\":0,\"NoHostUUID\":false,\"NodeClass\":\"\",\"Options\":{},"
               "\"ReserveableCores\":\"\",\"Reserved\":{\"CPU\":0,\"Cores\":\"\",\"DiskMB\":0,"
               "\"MemoryMB\":0,\"ReservedPorts\":\"\"},\"ServerJoin\":{\"RetryInterval\":0,"
               "\"RetryJoin\":[],\"RetryMaxAttempts\":0,\"StartJoin\":null},\"Servers\":null,"
               "\"StateDir\":\"\",\"TemplateConfig\":{\"DisableSandbox\":false,"
               "\"FunctionBlacklist\":null,\"FunctionDenylist\":[]}}"},
    {"Consul", "{\"Addr\":\"\",\"AllowUnauthenticated\":false,\"Auth\":\"\","
               "\"AutoAdvertise\":false,\"CAFile\":\"\",\"CertFile\":\"\","
               "\"ChecksUseAdvertise\":false,\"ClientAutoJoin\":false,"
               "\"ClientHTTPCheckName\":\"\",\"ClientServiceName\":\"\",\"EnableSSL\":false,"
               "\"GRPCAddr\":\"\",\"KeyFile\":\"\",\"Namespace\":\"\",\"ServerAutoJoin\":false,"
               "\"ServerHTTPCheckName\":\"\",\"ServerRPCCheckName\":\"\","
               "\"ServerSerfCheckName\":\"\",\"ServerServiceName\":\"\",\"ShareSSL\":null,"
               "\"Tags\":null,\"Timeout\":0,\"Token\":\"\",\"VerifySSL\":false}"},
    {"DataDir", "\"\""},
    {"Datacenter", "\"\""},
    {"DevMode", "false"},
    {"DisableAnonymousSignature", "false"},
    {"DisableUpdateCheck", "false"},
    {"EnableDebug", "false"},
    {"EnableSyslog", "false"},
    {"Files", "[]"},
    {"HTTPAPIResponseHeaders", "{}"},
    {"LeaveOnInt", "false"},
    {"LeaveOnTerm", "false"},
    {"Limits", "{\"HTTPMaxConnsPerClient\":0,\"HTTPSHandshakeTimeout\":\"\","
               "\"RPCHandshakeTimeout\":\"\",\"RPCMaxConnsPerClient\":0}"},
    {"LogFile", "\"\""},
    {"LogJson", "false"},
    {"LogLevel", "\"\""},
    {"LogRotateBytes", "0"},
    {"LogRotateDuration", "\"\""},
    {"LogRotateMaxFiles", "0"},
    {"NodeName", "\"\""},
    {"PluginDir", "\"\""},
    {"Plugins", "[]"},
    {"Ports", "{\"HTTP\":0,\"RPC\":0,\"Serf\":0}"},
    {"Region", "\"\""},
    {"Sentinel", "{\"Imports\":null}"},
    {"Server", "{\"AuthoritativeRegion\":\"\",\"BootstrapExpect\":0,"
               "\"CSIPluginGCThreshold\":\"\",\"CSIVolumeClaimGCThreshold\":\"\",\"DataDir\":\"\","
               "\"DefaultSchedulerConfig\":null,\"DeploymentGCThreshold\":\"\","
               "\"EnableEventBroker\":false,\"Enabled\":false,\"EnabledSchedulers\":null,"
               "\"EvalGCThreshold\":\"\",\"EventBufferSize\":0,\"HeartbeatGrace\":0,"
               "\"JobGCInterval\":\"\",\"JobGCThreshold\":\"\",\"LicenseEnv\":\"\","
               "\"LicensePath\":\"\",\"MaxHeartbeatsPerSecond\":0.0,\"MinHeartbeatTTL\":0,"
               "\"NodeGCThreshold\":\"\",\"NonVotingServer\":false,\"NumSchedulers\":null,"
               "\"ProtocolVersion\":0,\"RaftMultiplier\":null,\"RaftProtocol\":0,"
               "\"RedundancyZone\":\"\",\"RejoinAfterLeave\":false,\"RetryInterval\":0,"
               "\"RetryJoin\":[],\"RetryMaxAttempts\":0,\"Search\":{\"FuzzyEnabled\":false,"
               "\"LimitQuery\":0,\"LimitResults\":0,\"MinTermLength\":0},"
               "\"ServerJoin\":{\"RetryInterval\":0,\"RetryJoin\":[],\"RetryMaxAttempts\":0,"
               "\"StartJoin\":null},\"StartJoin\":[],\"UpgradeVersion\":\"\"}"},
    {"SyslogFacility", "\"\""},
    {"TLSConfig", "{\"CAFile\":\"\",\"CertFile\":\"\",\"Checksum\":\"\",\"EnableHTTP\":false,"
                  "\"EnableRPC\":false,\"KeyFile\":\"\",\"KeyLoader\":{},\"RPCUpgradeMode\":false,"
                  "\"TLSCipherSuites\":\"\",\"TLSMinVersion\":\"\","
                  "\"TLSPreferServerCipherSuites\":false,\"VerifyHTTPSClient\":false,"
                  "\"VerifyServerHostname\":false}"},
    {"Telemetry", "{\"CirconusAPIApp\":\"\",\"CirconusAPIToken\":\"\",\"CirconusAPIURL\":\"\","
                  "\"CirconusBrokerID\":\"\",\"CirconusBrokerSelectTag\":\"\","
                  "\"CirconusCheckDisplayName\":\"\",\"CirconusCheckForceMetricActivation\":\"\","
                  "\"CirconusCheckID\":\"\",\"CirconusCheckInstanceID\":\"\","
                  "\"CirconusCheckSearchTag\":\"\",\"CirconusCheckSubmissionURL\":\"\","
                  "\"CirconusCheckTags\":\"\",\"CirconusSubmissionInterval\":\"\","
                  "\"CollectionInterval\":\"\",\"DataDogAddr\":\"\",\"DataDogTags\":null,"
                  "\"DisableDispatchedJobSummaryMetrics\":false,\"DisableHostname\":false,"
                  "\"FilterDefault\":null,\"PrefixFilter\":null,\"PrometheusMetrics\":false,"
                  "\"PublishAllocationMetrics\":false,\"PublishNodeMetrics\":false,"
                  "\"StatsdAddr\":\"\",\"StatsiteAddr\":\"\",\"UseNodeName\":false}"},
    {"Vault",
     "{\"Addr\":\"\",\"AllowUnauthenticated\":false,\"ConnectionRetryIntv\":0,"
     "\"Enabled\":null,\"Namespace\":\"\",\"Role\":\"\",\"TLSCaFile\":\"\",\"TLSCaPath\":\"\","
     "\"TLSCertFile\":\"\",\"TLSKeyFile\":\"\",\"TLSServerName\":\"\","
     "\"TLSSkipVerify\":null,\"TaskTokenTTL\":\"\",\"Token\":\"\"}"},
    {"Version", "{\"Revision\":\"\",\"Version\":\"\",\"VersionMetadata\":\"\","
                "\"VersionPrerelease\":\"\"}"},
    {NULL, NULL},
};
