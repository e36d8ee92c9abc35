//! The codes of what can be wrong with the meaning of a file. They are stable: a code never changes its
//! sense, and a new fault gets a new code. Codes of the text itself stand in [`crate::document::codes`].

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $code;)*

        /// All codes of this module.
        pub const ALL: &[&str] = &[$($code),*];
    };
}

codes! {
    /// The version of the language is not known.
    VERSION = "E1001";
    /// One name for two things.
    NAME_CLASH = "E1002";
    /// A name that the language itself uses.
    RESERVED_NAME = "E1003";
    /// A name that nothing has.
    UNKNOWN_NAME = "E1004";
    /// A name of something else than is needed.
    WRONG_THING = "E1005";
    /// A group that contains itself.
    GROUP_CYCLE = "E1006";
    /// More objects than Netloom takes.
    TOO_MANY = "E1007";
    /// `networks:` and `interfaces:` say the same thing.
    SHORT_FORM = "E1008";
    /// Something that can't be repeated.
    REPLICAS = "E1009";
    /// A word that is not one of those allowed.
    UNKNOWN_WORD = "E1010";
    /// A key that does not go with the rest.
    KEY_MISPLACED = "E1011";
    /// A key that the rest needs.
    KEY_MISSING = "E1012";
    /// A value that the kernel refuses.
    OUT_OF_RANGE = "E1013";
    /// IPv4 and IPv6 where one is needed.
    FAMILY = "E1014";
    /// Numbers from which no topology can be made.
    GENERATOR = "E1015";
    /// A generator's subnet is too small.
    GENERATOR_SUBNET = "E1016";
    /// An interface that the node has not.
    UNKNOWN_INTERFACE = "E1101";
    /// Two cables for one interface.
    INTERFACE_USED_TWICE = "E1102";
    /// An interface that nothing makes.
    LOOSE_INTERFACE = "E1103";
    /// An interface name that the kernel uses itself.
    RESERVED_INTERFACE = "E1104";
    /// A hardware address that no station can have.
    BAD_MAC = "E1105";
    /// One hardware address twice in a segment.
    DUPLICATE_MAC = "E1106";
    /// VLAN settings that contradict one another.
    VLAN_CONFLICT = "E1107";
    /// An overlay port without a VTEP.
    NO_CARRIER = "E1108";
    /// Wrong number or kind of ends.
    LINK_FORM = "E1109";
    /// Addresses that do not fit the ends.
    LINK_ADDRESSES = "E1110";
    /// An interface that stands on itself.
    PARENT_CYCLE = "E1111";
    /// An interface in two bonds or VRFs.
    TWO_CONTROLLERS = "E1112";
    /// A bond whose members are wrong.
    BOND = "E1113";
    /// A tunnel that leads nowhere.
    TUNNEL_ENDS = "E1114";
    /// An address that the node has not.
    NOT_OWN_ADDRESS = "E1115";
    /// A group that is no multicast address.
    NOT_MULTICAST = "E1116";
    /// Two tunnels that a node can't tell apart.
    DUPLICATE_VNI = "E1117";
    /// A medium that can't be.
    MEDIUM = "E1118";
    /// A frame that does not fit into what carries it.
    MTU = "E1119";
    /// Nothing can choose or complete an address.
    ADDRESS_CHOICE = "E1201";
    /// An address outside of the subnet.
    ADDRESS_OUTSIDE = "E1202";
    /// An address that no station can have.
    UNUSABLE_ADDRESS = "E1203";
    /// One address for two interfaces.
    DUPLICATE_ADDRESS = "E1204";
    /// A gateway that can't be one.
    GATEWAY = "E1205";
    /// A subnet that can't be one.
    SUBNET = "E1206";
    /// More interfaces than addresses.
    SUBNET_FULL = "E1207";
    /// Uplinks in a circle.
    UPLINK_CYCLE = "E1208";
    /// A sysctl that a node has not.
    SYSCTL = "E1301";
    /// A VRF that can't be.
    VRF = "E1302";
    /// Nothing to masquerade with.
    MASQUERADE = "E1303";
    /// A command that can't run.
    COMMAND = "E1304";
    /// A destination that is none.
    ROUTE_TO = "E1305";
    /// A route with no way or several.
    ROUTE_FORM = "E1306";
    /// A table that can't take the route.
    ROUTE_TABLE = "E1307";
    /// A gateway that the node does not reach.
    ROUTE_VIA = "E1308";
    /// Two equal routes.
    DUPLICATE_ROUTE = "E1309";
    /// A routing rule with no effect or two.
    RULE_FORM = "E1310";
    /// A rule that says nothing or two things.
    RULE_STANCE = "E1401";
    /// A forward that can't be.
    FORWARD = "E1402";
    /// Two forwards of one thing.
    DUPLICATE_FORWARD = "E1403";
    /// No way of shaping or several.
    QOS_FORM = "E1501";
    /// One interface shaped twice.
    DUPLICATE_QOS = "E1502";
    /// A class that is not defined.
    UNKNOWN_CLASS = "E1503";
    /// Packets for a class that has classes below it.
    INNER_CLASS = "E1504";
    /// Classes above one another in a circle.
    CLASS_CYCLE = "E1505";
    /// Rates that contradict one another.
    RATES = "E1506";
    /// A match that fits everything or nothing.
    EMPTY_MATCH = "E1507";
    /// A test that tries nothing or two things.
    TEST_VERB = "E1601";
    /// Keys that do not fit the test.
    TEST_KEYS = "E1602";
    /// Somebody whom a test can't use.
    TEST_PEER = "E1603";
    /// A service that the test can't use.
    TEST_SERVICE = "E1604";
    /// What a virtual machine can't be or have.
    MACHINE = "E1701";
    /// Nothing is described.
    EMPTY_TOPOLOGY = "W1001";
    /// A group without nodes.
    EMPTY_GROUP = "W1002";
    /// The same thing listed twice.
    LISTED_TWICE = "W1003";
    /// A key without effect.
    USELESS_KEY = "W1004";
    /// A node that nothing reaches.
    NO_INTERFACE = "W1005";
    /// A value that others may refuse.
    OUT_OF_RANGE_WARNING = "W1006";
    /// A gateway address that nobody has.
    NOBODY_THERE = "W1007";
    /// A prefix length other than the subnet's.
    PREFIX_LENGTH = "W1008";
    /// Subnets with common addresses.
    SUBNETS_OVERLAP = "W1009";
    /// Ends of a link in different prefixes.
    LINK_PREFIXES = "W1010";
    /// An address of a bond's port.
    BOND_MEMBER_ADDRESS = "W1011";
    /// More jitter than delay.
    MEDIUM_JITTER = "W1012";
    /// Frames that will be dropped or broken.
    MTU_WARNING = "W1013";
    /// A routing table without routes.
    EMPTY_TABLE = "W1014";
    /// Routing rules without an order.
    RULE_PRIORITY = "W1015";
    /// More promised than there is.
    RATES_WARNING = "W1016";
    /// A class that nothing comes into.
    UNUSED_CLASS = "W1017";
}
