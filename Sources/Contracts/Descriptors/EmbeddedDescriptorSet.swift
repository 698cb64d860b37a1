// FENCE for CContracts: the protos as bytes.
import CContracts

/// The FileDescriptorSet of proto/ as protoc wrote it, with our method and field options.
package func embeddedDescriptorSet() -> [UInt8] {
  unsafe [UInt8](UnsafeBufferPointer(start: esp_descriptor_set_bytes(), count: esp_descriptor_set_length))
}
