//! The bindings to the guest, generated from `wit/`. No other file of the host knows the
//! component's types.
//!
//! The worlds are the host's own and name every interface that it calls or checks. A component
//! exports some of them: each is looked up by itself, by its `GuestIndices`.

/// The contract that this host runs modules of: a package of WIT, and its version.
pub const CONTRACT: &str = "gavel:module@0.1.0";

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package gavel:host;

        world interfaces {
            export gavel:module/decider@0.1.0;
            export gavel:module/boundary@0.1.0;
            export gavel:module/tags@0.1.0;
            export gavel:module/upcast@0.1.0;
        }
    ",
    world: "gavel:host/interfaces",
    // Arguments are borrowed: folding a history copies no string on the host's side.
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
});

/// The interfaces of the kinds that read the log, in a world of their own: a rejection is an error
/// of deciders and an argument of processes, and wasmtime lends no errors.
pub(crate) mod readers {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package gavel:host;

            world readers {
                export gavel:module/view@0.1.0;
                export gavel:module/process@0.1.0;
                export gavel:module/sources@0.1.0;

                // No component has it, nor is it looked for: only types that some function takes
                // are generated with their lifetimes.
                use gavel:module/types@0.1.0.{command, event, context};
                export takes: func(command: command, event: event, context: context);
            }
        ",
        world: "gavel:host/readers",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { default: trappable },
    });
}
