//! The table in which an area of settings is declared.

/// Declares the struct of one area of settings.
///
/// ```text
/// area! {
///     /// The subject of the area.
///     pub struct Server in "server" {
///         /// The effect of the setting, with its unit.
///         max_connections: u64 = 4096, within 1..=1_000_000;
///     }
/// }
/// ```
///
/// The macro generates the struct, its `Default`, and `read`, which asks a
/// [`LayerReader`](super::reader::LayerReader) for each setting in the order of the table. Bounds
/// are inclusive at both ends. A type is usable when it is a [`Setting`](super::setting::Setting).
macro_rules! area {
    (
        $(#[$area_doc:meta])*
        pub struct $area:ident in $section:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $kind:ty = $default:expr $(, within $bound:expr)?;
            )+
        }
    ) => {
        $(#[$area_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $area {
            $(
                $(#[doc = $doc])+
                #[doc = ""]
                #[doc = concat!(
                    "`", stringify!($field), "` in `[", $section, "]`. Default: `", stringify!($default), "`.",
                    $(" Bound: `", stringify!($bound), "`.",)?
                )]
                pub $field: $kind,
            )+
        }

        impl Default for $area {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $area {
            /// Takes each setting from the highest layer that has it, else from `self`.
            pub(super) fn read(self, reader: &mut $crate::reader::LayerReader) -> Self {
                Self {
                    $(
                        $field: reader.setting(
                            concat!($section, ".", stringify!($field)),
                            concat!($($doc),+).trim(),
                            self.$field,
                            None$(.or(Some($bound)))?,
                        ),
                    )+
                }
            }
        }
    };
}

pub(super) use area;
