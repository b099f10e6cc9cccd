//! A rail's payment URI as a QR code.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use qrcode::render::svg;
use qrcode::{Color, EcLevel, QrCode};
use utoipa::IntoParams;

use crate::api::auth::Reader;
use crate::api::context::Context;
use crate::api::input::{Parameters, Path};
use crate::api::problem::Problem;

/// How many pixels wide each module of a PNG is.
const SCALE: usize = 8;
/// The margin that readers need, in modules (ISO 18004).
const QUIET: usize = 4;
/// Of an SVG, which has no pixels of its own.
const SVG_SIZE: u32 = 320;
const MAX_AGE: &str = "max-age=60";

/// Which rail, and how it is drawn.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "shows the parameters in the OpenAPI document")]
pub(super) struct QrQuery {
    /// The rail's id; the first one where it is left out.
    rail: Option<String>,
    /// `png` or `svg`; `svg` where it is left out.
    #[param(pattern = "^(png|svg)$")]
    format: Option<String>,
    /// The account, where an admin means another than the key's own.
    account: Option<String>,
}

/// A kind of picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    Png,
    #[default]
    Svg,
}

/// Draw a payment
///
/// The QR code of a rail's payment URI (EIP-681, BIP-21, Solana Pay). 404 where it has none: on
/// EVM networks and Bitcoin's family no URI can say a reference. Scope: `read`.
#[utoipa::path(get, path = "/v1/intents/{id}/qr", tag = "intents",
    params(("id" = String, Path, description = "The backend's own id"), QrQuery),
    responses((status = 200, content(
        (String = "image/svg+xml"),
        (Vec<u8> = "image/png")))))]
pub(super) async fn qr(
    State(context): State<Context>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let key = caller.intent_key(&id, &mut parameters, &context.store).await?;
    let rail = parameters.text("rail");
    let format = parameters.parsed("format", "`png` or `svg`", |text| match text {
        "png" => Some(Format::Png),
        "svg" => Some(Format::Svg),
        _ => None,
    });
    parameters.end()?;
    let found = context.store.intent(&key).await?;
    let (intent, _) = found.ok_or(Problem::NotFound("intent"))?;
    let mut rails = intent.rails.iter().filter(|rail| rail.replaced_at.is_none());
    let rail = match &rail {
        Some(id) => rails.find(|rail| rail.rail_id == *id),
        None => rails.next(),
    };
    let rail = rail.ok_or(Problem::NotFound("rail"))?;
    let uri = rail.payment_uri.as_ref().ok_or(Problem::NoPaymentUri)?;
    let (kind, picture) = match format.unwrap_or_default() {
        Format::Png => ("image/png", png_of(uri)?),
        Format::Svg => ("image/svg+xml", svg_of(uri)?.into_bytes()),
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, MAX_AGE)];
    Ok((headers, picture).into_response())
}

/// A URI is far shorter than what a code holds.
fn code_of(uri: &str) -> Result<QrCode, Problem> {
    QrCode::with_error_correction_level(uri, EcLevel::M).map_err(|_| Problem::Internal)
}

fn svg_of(uri: &str) -> Result<String, Problem> {
    let code = code_of(uri)?;
    Ok(code.render::<svg::Color<'_>>().min_dimensions(SVG_SIZE, SVG_SIZE).build())
}

fn png_of(uri: &str) -> Result<Vec<u8>, Problem> {
    let code = code_of(uri)?;
    let modules = code.width();
    let width = (modules + 2 * QUIET) * SCALE;
    let mut pixels = vec![u8::MAX; width * width];
    for (place, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Light {
            continue;
        }
        let (row, column) = (place / modules + QUIET, place % modules + QUIET);
        for line in row * SCALE..(row + 1) * SCALE {
            let from = line * width + column * SCALE;
            pixels[from..from + SCALE].fill(0);
        }
    }
    let side = u32::try_from(width).map_err(|_| Problem::Internal)?;
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|_| Problem::Internal)?;
    writer.write_image_data(&pixels).map_err(|_| Problem::Internal)?;
    writer.finish().map_err(|_| Problem::Internal)?;
    Ok(picture)
}
